"""The optimal decoder: the weights, per mask, that come nearest to the full sum."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc.decoders.banded import band_order, is_narrow, solve_banded
from jgc.decoders.decoder import Decoder, Mask, Weights, float_dtype
from jgc.decoders.ridge import solve_subsets
from jgc.plan import CodingPlan

_Solver = Callable[
    [Float[Array, "k n"], Bool[Array, "k trials"]], Float[Array, "k trials"]
]


def _weights(plan: CodingPlan, mask: Mask, solver: _Solver) -> Weights:
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
    flat = mask.reshape(mask.shape[0], -1)
    scaled = solver(matrix / norm, flat)
    return (scaled / (norm * largest)).reshape(mask.shape)


def _solve_dense(matrix: Float[Array, "k n"], mask: Bool[Array, "k trials"]) -> Array:
    gram = jnp.matmul(matrix, matrix.T, precision=jax.lax.Precision.HIGHEST)
    return solve_subsets(gram, matrix.sum(axis=1), mask)


def _solve_in_order(
    matrix: Float[Array, "k n"],
    mask: Bool[Array, "k trials"],
    *,
    order: tuple[int, ...],
    bandwidth: int,
) -> Array:
    index = np.asarray(order)
    matrix = matrix[index]
    diagonals = [(matrix**2).sum(axis=1)]
    for d in range(1, bandwidth + 1):
        product = (matrix[d:] * matrix[:-d]).sum(axis=1)
        diagonals.append(jnp.pad(product, (d, 0)))
    solved = solve_banded(jnp.stack(diagonals, axis=1), matrix.sum(axis=1), mask[index])
    return solved[np.argsort(index)]


@lru_cache(maxsize=64)
def _banded_decoder(order: tuple[int, ...], bandwidth: int) -> Decoder:
    solver = partial(_solve_in_order, order=order, bandwidth=bandwidth)
    return Decoder(partial(_weights, solver=solver))


def _specialise(plans: Sequence[CodingPlan]) -> Decoder:
    order, bandwidth = band_order(plans)
    if not is_narrow(bandwidth, plans[0].num_workers):
        return least_squares
    return _banded_decoder(tuple(order.tolist()), bandwidth)


least_squares = Decoder(partial(_weights, solver=_solve_dense), specialise=_specialise)
"""Weights that minimise ‖A_Sᵀ w − 1‖ over the workers S that answered; 0 elsewhere.

What no other weights can beat for orthogonal gradients of equal norm; OD [11] decodes
so, and any plan can be. Where S is rank-deficient, of all minimisers the one with least
Σ_i w_i²‖a_i‖², which does not change when a message is rescaled; for rows of equal norm
it is the one of least norm. Nothing answered gives 0.

Works on the Gram matrix AAᵀ: two messages whose directions differ by less than about
1e-5 in float64, 5e-3 in float32, begin to count as the same. O(k³) a mask, in memory
that does not grow with the number of masks. `least_squares.specialised([plan])`, which
`monte_carlo` and `enumerate_masks` use, is O(k) for codes whose workers overlap in a
narrow band: interval, Scheme II, repetition and cyclic codes.
"""
