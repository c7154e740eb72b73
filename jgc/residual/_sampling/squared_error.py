"""‖g − ĝ‖² of a batch of masks, for any decoder and model of the gradients."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Bool, Float

from jgc._plan import AnyArray, CodingPlan
from jgc.decoders import Decoder
from jgc.decoders._fixed import Fixed
from jgc.gradients import Gradients
from jgc.residual._sampling.sparse_rows import SparseRows, sparse_rows

# A product of this many entries a trial is still faster than gathers over the edges.
_DENSE_ENTRIES_PER_EDGE = 16
_LARGEST_DENSE = 1 << 24

# Of ‖g‖²: coefficients off by 1e-9, a solve's worst in float64.
_ROUNDING = 1e-18


class ErrorEvaluator(NamedTuple):
    """Arrays to evaluate ‖g − ĝ‖² with; a pytree, goes through `jit`.

    Attributes:
        plan: the code.
        decoder: of its messages; with a leading axis over plans as the rest has it.
        compressed: for fixed decoders H (k + 1, rank) with ‖g − ĝ‖² = ‖Hᵀ(I, 1)‖²:
            they cost one matrix product. None where the edges are fewer.
        rows: for fixed decoders the edges, where `compressed` is None.
        factor: F (n, rank) with G = FFᵀ, or None for a similarity.
        similarity: ρ, where `factor` is None.
    """

    plan: CodingPlan
    decoder: Decoder
    compressed: Float[AnyArray, "k+1 rank"] | None
    rows: SparseRows | None
    factor: Float[AnyArray, "n rank"] | None
    similarity: float | Array

    def of_fixed(self, mask: Bool[Array, "k trials"]) -> Float[Array, " trials"]:
        """‖g − ĝ‖² with the plan's own weights."""
        if self.rows is not None:
            return self.of_coefficients(self.rows.coefficients(mask))
        assert self.compressed is not None
        matrix = self.compressed
        error = jnp.matmul(
            matrix[:-1].T,
            mask.astype(matrix.dtype),
            precision=jax.lax.Precision.HIGHEST,
        )
        return ((error + matrix[-1][:, None]) ** 2).sum(axis=0)

    def errors(self, mask: Bool[Array, "k trials"]) -> Float[Array, " trials"]:
        """‖g − ĝ‖² with the weights that the decoder chooses for each mask."""
        if isinstance(self.decoder, Fixed):
            return self.of_fixed(mask)
        return self.of_coefficients(self.decoder.coefficients(self.plan, mask))

    def without_rounding(
        self, errors: Float[Array, " trials"]
    ) -> Float[Array, " trials"]:
        """0 for errors that are those of float64, not of the masks.

        Where a decoder makes up for all common stragglers, they are all that a sample
        has: they would pass for noise, with a standard error.
        """
        all_lost = self.of_coefficients(jnp.zeros((self.plan.num_partitions, 1)))
        return jnp.where(errors > _ROUNDING * all_lost, errors, 0)

    def of_coefficients(self, c: Float[Array, "n trials"]) -> Float[Array, " trials"]:
        """(c − 1)ᵀ G (c − 1)."""
        error = c - 1
        if self.factor is not None:
            factor = jnp.asarray(self.factor, error.dtype)
            product = jnp.matmul(factor.T, error, precision=jax.lax.Precision.HIGHEST)
            return (product**2).sum(axis=0)
        rho = jnp.asarray(self.similarity, error.dtype)
        return rho * error.sum(axis=0) ** 2 + (1 - rho) * (error**2).sum(axis=0)


def error_evaluator(
    plan: CodingPlan,
    model: Gradients,
    decoder: Decoder,
    *,
    dtype: type = np.float64,
) -> ErrorEvaluator:
    """Prepares the arrays on the host in float64 and rounds them once, to `dtype`.

    Args:
        plan: the code.
        model: of the gradients, for its number of partitions.
        decoder: of its messages.
        dtype: of the arithmetic of fixed decoders.
    """
    factor = None if model.matrix is None else model.factor(plan.num_partitions)
    compressed = _compressed(plan, model)
    return ErrorEvaluator(
        plan=plan,
        decoder=decoder,
        compressed=None if compressed is None else compressed.astype(dtype),
        rows=sparse_rows(plan, dtype) if compressed is None else None,
        factor=factor,
        similarity=0.0 if model.similarity is None else model.similarity,
    )


def _compressed(
    plan: CodingPlan, model: Gradients
) -> Float[np.ndarray, "{plan.num_workers}+1 rank"] | None:
    """H = [w A; −1ᵀ] F, with orthogonal transforms applied to leave few columns."""
    k, n = plan.num_workers, plan.num_partitions
    worker, partition = np.asarray(plan.edge_worker), np.asarray(plan.edge_partition)
    a = np.asarray(plan.edge_coefficient, np.float64)
    w = np.asarray(plan.weights, np.float64)
    if model.similarity == 1:
        sums = w * np.bincount(worker, weights=a, minlength=k)
        return np.append(sums, -n)[:, None]
    rank = min(k + 1, n if model.matrix is None else model.matrix.shape[0])
    limit = min(_DENSE_ENTRIES_PER_EDGE * plan.num_edges, _LARGEST_DENSE)
    # Vectors go through a matrix in any case: only a similarity can use the edges.
    if model.matrix is None and (k + 1) * rank > limit:
        return None
    matrix = np.zeros((k + 1, n))
    np.add.at(matrix, (worker, partition), a * w[worker])
    matrix[-1] = -1
    matrix = matrix @ model.factor(n)
    if matrix.shape[1] > rank or matrix.shape[1] > k + 1:
        # ‖Hᵀx‖ = ‖Rx‖ for Hᵀ = QR.
        triangle: np.ndarray = scipy.linalg.qr(matrix.T, mode="r")[0]
        return triangle[: min(matrix.shape)].T
    return matrix
