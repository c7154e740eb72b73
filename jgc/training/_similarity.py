"""Following ρ: how alike partition gradients are, seen from what is decoded.

Norms of two combinations Σ_j c_j g_j tell it (`jgc.gradients.following`): of ĝ, where
what is common adds up, and of a probe Σ_i ε_i v_i f_i, the same messages with signs
ε_i, where it cancels. Both are weighted sums of messages, which every path can make,
and the same on all: a path that never forms messages pulls one more row of coefficients
back, one that has them adds them up twice.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jgc.decoders import Decoder
from jgc.gradients import Similarity, SimilarityEstimator
from jgc.training._state import run_keys


class SimilarityInUse(NamedTuple):
    """How ρ is followed in one run.

    Attributes:
        estimator: of `jgc.gradients.following`; None: it is not followed.
        is_used: whether the decoder goes by ρ.
    """

    estimator: SimilarityEstimator | None
    is_used: bool

    @classmethod
    def of(
        cls, estimator: SimilarityEstimator | None, decoder: Decoder
    ) -> "SimilarityInUse":
        """Of a job's."""
        return cls(estimator, estimator is not None and decoder.follows_similarity)

    def init(self) -> Any:
        """Before the first iteration; () if nothing is followed."""
        return () if self.estimator is None else self.estimator.init()

    def probing(self, iteration: int) -> SimilarityEstimator | None:
        """The estimator where the iteration is to be looked at, else None."""
        if self.estimator is None or iteration % self.estimator.every:
            return None
        return self.estimator

    def decoder(self, decoder: Decoder, similarity: Any) -> Decoder:
        """The decoder at ρ of the iterations before, with the state's `similarity`."""
        return decoder.at(_rho(similarity)) if self.is_used else decoder

    def rho(self, similarity: Any) -> float:
        """Of the iterations so far; NaN if nothing is followed."""
        return float("nan") if self.estimator is None else float(_rho(similarity))


def with_probe(
    weights: Float[Array, "*tracks k"], key: Array, iteration: Array | int
) -> Float[Array, "rows k"]:
    """The rows of weights, and after them the first with signs.

    Half of those who answered have one sign and half the other, at random: signs that
    are all alike, as with few who answered they often would be, tell nothing.

    Args:
        weights: of the decoder, of one track or two.
        key: of the run.
        iteration: from 0.
    """
    rows = jnp.asarray(weights).reshape(-1, weights.shape[-1])
    of_iteration = jax.random.fold_in(run_keys(key).probes, iteration)
    lot = jax.random.uniform(of_iteration, rows.shape[-1:])
    rank = jnp.argsort(jnp.argsort(jnp.where(rows[0] == 0, 1.0, lot)))
    return jnp.concatenate([rows, (1 - 2.0 * (rank % 2)) * rows[:1]])


def observed(
    estimator: SimilarityEstimator,
    state: Similarity,
    coefficients: Float[Array, "rows n"],
    decoded: PyTree[Float[Array, "rows ..."]],
) -> Similarity:
    """What an iteration adds: the norms of the first row and of the last, the probe.

    Args:
        estimator: of the job.
        state: before.
        coefficients: of the weights of `with_probe`.
        decoded: Σ_i v_i f_i of each row, leaves (rows, …).
    """
    c = coefficients[jnp.array([0, -1])]

    def norms(leaf: Array) -> Float[Array, "2"]:
        both = jnp.stack([leaf[0], leaf[-1]]).reshape(2, -1)
        wide = both.astype(jnp.promote_types(both.dtype, jnp.float32))
        return (wide**2).sum(axis=1)

    return estimator.update_from(
        state,
        sums=c.sum(axis=1),
        squares=(c**2).sum(axis=1),
        squared_norms=sum(map(norms, jax.tree.leaves(decoded)), jnp.zeros(2)),
    )


def without_probe(
    decoded: PyTree[Float[Array, "rows ..."]], *, num_tracks: int
) -> PyTree[Float[Array, "..."]]:
    """The decoded gradient alone, as it is where nothing is probed."""
    if num_tracks == 1:
        return jax.tree.map(lambda leaf: leaf[0], decoded)
    return jax.tree.map(lambda leaf: leaf[:num_tracks], decoded)


@jax.jit
def _rho(similarity: Similarity) -> Float[Array, ""]:
    return similarity.rho
