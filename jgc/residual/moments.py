"""Running moments of a pair of samples, merged without cancellation."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Moments:
    """Count, means and centred second moments of (x, y), for a batch of streams.

    Merged by the formulas of Chan, Golub and LeVeque (1983), which never subtract
    large sums. x is the squared error; y the control variate, 0 where there is none.

    Attributes:
        count: samples so far.
        mean: of x and y, (streams, 2).
        scatter: Σ(x − x̄)², Σ(y − ȳ)², Σ(x − x̄)(y − ȳ), (streams, 3).
    """

    count: int
    mean: Float[np.ndarray, "streams 2"]
    scatter: Float[np.ndarray, "streams 3"]

    @classmethod
    def empty(cls, streams: int) -> Self:
        return cls(0, np.zeros((streams, 2)), np.zeros((streams, 3)))

    def merged(self, other: "Moments") -> "Moments":
        """The moments of both samples together."""
        count = self.count + other.count
        step = other.mean - self.mean
        product = np.stack(
            [step[:, 0] ** 2, step[:, 1] ** 2, step[:, 0] * step[:, 1]], axis=1
        )
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.scatter + other.scatter + product * (self.count * other.count / count),
        )

    def estimate(
        self, control_mean: Float[np.ndarray, " streams"] | None
    ) -> tuple[Float[np.ndarray, " streams"], Float[np.ndarray, " streams"]]:
        """The mean of x and its standard error.

        Args:
            control_mean: E[y], where it is known: x̄ − β(ȳ − E[y]) with the regression
                coefficient β of x on y has the variance that y does not explain.
        """
        scatter_x, scatter_y, scatter_xy = self.scatter.T
        mean = self.mean[:, 0]
        freedom = self.count - 1
        if control_mean is not None:
            beta = np.divide(
                scatter_xy, scatter_y, out=np.zeros_like(mean), where=scatter_y > 0
            )
            mean = mean - beta * (self.mean[:, 1] - control_mean)
            scatter_x = np.maximum(scatter_x - beta * scatter_xy, 0)
            freedom -= 1
        if freedom < 1:
            return mean, np.full_like(mean, np.inf)
        return mean, np.sqrt(scatter_x / (freedom * self.count))
