"""The optimal decoder: the weights, per mask, that come nearest to the full sum."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc._plan import CodingPlan
from jgc._pytree import pytree
from jgc.decoders._banded import solve_banded
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype
from jgc.decoders._ridge import ridge, solve_subsets
from jgc.decoders._structure import Structure, structure_of


@pytree
@dataclass(frozen=True)
class LeastSquares(Decoder):
    """Weights that minimise ‖A_Sᵀ w − 1‖ over the workers S that answered; 0 elsewhere.

    What no other weights can beat for orthogonal gradients of equal norm; OD [11]
    decodes so, and any plan can be. Where S is rank-deficient, of all minimisers the
    one with least Σ_i w_i²‖a_i‖², which does not change when a message is rescaled; for
    rows of equal norm it is the one of least norm. Nothing answered gives 0.

    Works on the Gram matrix AAᵀ: two messages whose directions differ by less than
    about 1e-5 in float64, 5e-3 in float32, begin to count as the same. O(k³) a mask, in
    memory that does not grow with the number of masks. `specialised([plan])`, which
    `monte_carlo` and `enumerate_masks` use, decodes workers with equal messages as one
    and solves in O(k) for codes whose workers overlap in a narrow band: interval,
    Scheme II, repetition and cyclic codes, graphs of degree 2. Either holds A as a
    dense (k, n).

    Give many masks as trailing axes rather than by `vmap`, which from k = 100 on takes
    about twice as long, and from k = 465 five times: there it computes every size of
    subset that the solver compiles.

    Attributes:
        structure: of the plans that it is specialised for; None: any.
    """

    structure: Structure | None = field(default=None, metadata={"static": True})

    name = "least squares"

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        dtype = float_dtype()
        shape = (plan.num_workers, plan.num_partitions)
        matrix = jnp.zeros(shape, dtype)
        matrix = matrix.at[plan.edge_worker, plan.edge_partition].add(
            jnp.asarray(plan.edge_coefficient, dtype)
        )
        # Rows of unit norm: the result does not depend on how α was split into A and w.
        largest = jnp.abs(matrix).max(axis=1, initial=0, keepdims=True)
        largest = jnp.where(largest > 0, largest, 1)
        matrix = matrix / largest
        norm = jnp.sqrt((matrix**2).sum(axis=1, keepdims=True))
        norm = jnp.where(norm > 0, norm, 1)
        flat = answered.reshape(answered.shape[0], -1)
        if self.structure is None:
            scaled = _solve(matrix / norm, flat.astype(dtype))
        else:
            scaled = _solve_structured(matrix / norm, flat, self.structure)
        return (scaled / (norm * largest)).reshape(answered.shape)

    def specialised(self, plans: Sequence[CodingPlan]) -> Decoder:
        structure = structure_of(plans)
        has_groups = len(structure.representative) < len(structure.group)
        if structure.bandwidth is None and not has_groups:
            return least_squares
        return LeastSquares(structure)


least_squares = LeastSquares()


def _solve(matrix: Float[Array, "k n"], scale: Float[Array, "k trials"]) -> Array:
    gram = jnp.matmul(matrix, matrix.T, precision=jax.lax.Precision.HIGHEST)
    sums = matrix.sum(axis=1)[None]
    return solve_subsets(gram, sums, scale, ridge(matrix.dtype))[0]


def _solve_structured(
    matrix: Float[Array, "k n"],
    mask: Bool[Array, "k trials"],
    structure: Structure,
) -> Float[Array, "k trials"]:
    group = np.asarray(structure.group)
    matrix = matrix[np.asarray(structure.representative)]
    answered = mask.astype(matrix.dtype)
    if group.size == len(structure.representative):
        scale = answered[np.asarray(structure.representative)]
    else:
        # m equal rows are one of √m times the length.
        scale = jnp.sqrt(jax.ops.segment_sum(answered, group, matrix.shape[0]))
    if structure.bandwidth is None:
        solved = _solve(matrix, scale)
    else:
        diagonals = [(matrix**2).sum(axis=1)]
        for d in range(1, structure.bandwidth + 1):
            product = (matrix[d:] * matrix[:-d]).sum(axis=1)
            diagonals.append(jnp.pad(product, (d, 0)))
        band = jnp.stack(diagonals, axis=1)
        sums = matrix.sum(axis=1)[None]
        solved = solve_banded(band, sums, scale, ridge(matrix.dtype))[0]
    each = solved / jnp.where(scale > 0, scale, 1)
    return each[group] * answered
