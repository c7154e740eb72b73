"""Running moments of the error and its control variates, without cancellation."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Moments:
    """Count, means and centred second moments of vectors, for a batch of streams.

    Merged by the formulas of Chan, Golub and LeVeque (1983), which never subtract
    large sums. The first variable is the squared error, the others control variates.

    Attributes:
        count: samples so far.
        mean: (streams, variables).
        scatter: Σ(x − x̄)(x − x̄)ᵀ, (streams, variables, variables).
    """

    count: int
    mean: Float[np.ndarray, "streams variables"]
    scatter: Float[np.ndarray, "streams variables variables"]

    @classmethod
    def empty(cls, streams: int, variables: int) -> Self:
        return cls(
            0, np.zeros((streams, variables)), np.zeros((streams, variables, variables))
        )

    def merged(self, other: "Moments") -> "Moments":
        """The moments of both samples together."""
        count = self.count + other.count
        step = other.mean - self.mean
        between = step[:, :, None] * step[:, None, :]
        return Moments(
            count,
            self.mean + step * (other.count / count),
            self.scatter + other.scatter + between * (self.count * other.count / count),
        )

    def estimate(
        self, control_means: Float[np.ndarray, "streams controls"] | None
    ) -> tuple[Float[np.ndarray, " streams"], Float[np.ndarray, " streams"]]:
        """The mean of the first variable and its standard error.

        Args:
            control_means: E[y] of the other variables, or None without any:
                x̄ − βᵀ(ȳ − E[y]), with β the regression of x on y, has the variance that
                y does not explain.
        """
        mean = self.mean[:, 0]
        unexplained = self.scatter[:, 0, 0]
        freedom = self.count - 1
        if control_means is not None:
            scale = np.sqrt(np.einsum("sii->si", self.scatter[:, 1:, 1:]))
            scale = np.where(scale > 0, scale, 1)
            correlation = self.scatter[:, 1:, 1:] / (
                scale[:, :, None] * scale[:, None, :]
            )
            covariance = self.scatter[:, 0, 1:] / scale
            # Controls that say the same, or nothing, are dropped.
            inverse = np.linalg.pinv(correlation, rcond=1e-9, hermitian=True)
            beta = np.einsum("sij,sj->si", inverse, covariance)
            offset = (self.mean[:, 1:] - control_means) / scale
            mean = mean - (beta * offset).sum(axis=1)
            unexplained = np.maximum(unexplained - (beta * covariance).sum(axis=1), 0)
            freedom -= control_means.shape[1]
        if freedom < 1:
            return mean, np.full_like(mean, np.inf)
        return mean, np.sqrt(unexplained / (freedom * self.count))
