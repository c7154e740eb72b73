"""Running moments of streams of numbers, without cancellation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred power sums, merged as Pébay (2008) has them.

    Attributes:
        count: samples so far.
        mean: of any number of streams.
        powers: Σ(x − x̄)^m for m = 2, 3, 4, along the last axis.
    """

    count: int
    mean: Float[np.ndarray, "*streams"]
    powers: Float[np.ndarray, "*streams 3"]

    @classmethod
    def empty(cls, *streams: int) -> "Moments":
        return cls(0, np.zeros(streams), np.zeros((*streams, 3)))

    def merged(self, other: "Moments") -> "Moments":
        """The moments of both samples together."""
        a, b, count = self.count, other.count, self.count + other.count
        step = other.mean - self.mean
        (a2, a3, a4), (b2, b3, b4) = (
            np.moveaxis(part.powers, -1, 0) for part in (self, other)
        )
        share = step / count
        second = a2 + b2 + step * share * a * b
        third = (
            a3 + b3 + step * share**2 * a * b * (a - b) + 3 * share * (a * b2 - b * a2)
        )
        fourth = (
            a4
            + b4
            + step * share**3 * a * b * (a * a - a * b + b * b)
            + 6 * share**2 * (a * a * b2 + b * b * a2)
            + 4 * share * (a * b3 - b * a3)
        )
        return Moments(
            count,
            self.mean + share * b,
            np.stack([second, third, fourth], axis=-1),
        )

    def standard_error(self) -> Float[np.ndarray, "*streams"]:
        """Of the mean; infinite for one sample."""
        if self.count < 2:
            return np.full(self.mean.shape, np.inf)
        return np.sqrt(self.powers[..., 0] / ((self.count - 1) * self.count))

    def events(self, scale: Float[np.ndarray, "*streams"]) -> np.ndarray:
        """How many events carry the variance.

        The count over the excess kurtosis: of a rare event of probability q it is
        count·q, of normal noise all samples. 0 where there is no variance beyond the
        rounding of numbers of size `scale`.
        """
        second, fourth = self.powers[..., 0], self.powers[..., 2]
        varies = second > self.count * (1e-9 * scale) ** 2
        square = np.where(varies, second, 1) ** 2
        excess = np.maximum(self.count * fourth / square - 3, 1)
        return np.where(varies, self.count / excess, 0.0)
