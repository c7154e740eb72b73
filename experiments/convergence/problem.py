"""What a training problem with known constants is, and the data of all of them."""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

RegressionData = tuple[Array, Array]  # features (N, d), targets (N,)


@dataclass(frozen=True)
class KnownProblem:
    """A loss, its data and what is known of it.

    Attributes:
        name: in print.
        loss: `loss(beta, examples)`, the losses of the examples.
        features: x, one a row.
        targets: y.
        partition: of each example.
        squared_norm: C with ‖∇L(D_j)‖² ≤ C within `radius`.
        strong_convexity: λ of L; 0 if it is not strongly convex.
        smoothness: μ of L; infinite for kinks.
        minimum: L*, or a lower bound of L.
        minimiser: β*; None where only the lower bound is known.
        radius: of the ball that iterates are projected onto; infinite: none.
        solve: `solve(weights)`, the minimiser with the partitions' losses weighted;
            None where it has no use.
    """

    name: str
    loss: Callable[[Array, RegressionData], Float[Array, " N"]]
    features: Float[np.ndarray, "N d"]
    targets: Float[np.ndarray, " N"]
    partition: Int[np.ndarray, " N"]
    squared_norm: float
    strong_convexity: float
    smoothness: float
    minimum: float
    minimiser: Float[np.ndarray, " d"] | None
    radius: float
    solve: Callable[[Float[np.ndarray, " n"]], Float[np.ndarray, " d"]] | None

    @property
    def examples(self) -> RegressionData:
        """Features and targets in the precision of the run."""
        return jnp.asarray(self.features, float), jnp.asarray(self.targets, float)


def make_data(
    num_examples: int, dimension: int, num_partitions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Normal features, the signal that makes targets, partitions one after another.

    Partitions have parameters of their own around common ones: whoever answers more
    often pulls a biased code to its data.
    """
    rng = np.random.default_rng(0)
    partition = np.arange(num_examples) * num_partitions // num_examples
    x = rng.normal(size=(num_examples, dimension))
    common = rng.normal(size=dimension)
    own = (common + rng.normal(size=(num_partitions, dimension))) / np.sqrt(dimension)
    noise = 0.3 * rng.normal(size=num_examples)
    return x, np.einsum("nd,nd->n", x, own[partition]) + noise, partition


def margin_bound(x: np.ndarray, partition: np.ndarray, ridge: float) -> float:
    """C for losses of the margin with slope at most 1 and ‖λβ‖ at most `ridge`."""
    norms = np.linalg.norm(x, axis=1) + ridge
    return float(np.bincount(partition, weights=norms).max() / x.shape[0]) ** 2


def largest_curvature(x: np.ndarray) -> float:
    """The greatest eigenvalue of XᵀX/N."""
    return float(np.linalg.norm(x, 2) ** 2 / x.shape[0])
