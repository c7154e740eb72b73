"""The optimal decoder: the weights, per mask, that come nearest to the full sum."""

import jax
import jax.numpy as jnp

from jgc.decoders.decoder import Decoder, Mask, Weights, float_dtype
from jgc.decoders.ridge import solve_subsets
from jgc.plan import CodingPlan


def _weights(plan: CodingPlan, mask: Mask) -> Weights:
    dtype = float_dtype()
    shape = (plan.num_workers, plan.num_partitions)
    matrix = jnp.zeros(shape, dtype)
    matrix = matrix.at[plan.edge_worker, plan.edge_partition].add(
        jnp.asarray(plan.edge_coefficient, dtype)
    )
    # Rows of unit norm: the result does not depend on how α was split into A and w.
    largest = jnp.abs(matrix).max(axis=1, initial=0, keepdims=True)
    matrix = matrix / jnp.where(largest > 0, largest, 1)
    norm = jnp.sqrt((matrix**2).sum(axis=1, keepdims=True))
    norm = jnp.where(norm > 0, norm, 1)
    matrix = matrix / norm
    scale = (norm * jnp.where(largest > 0, largest, 1))[:, 0]
    gram = jnp.matmul(matrix, matrix.T, precision=jax.lax.Precision.HIGHEST)
    flat = mask.reshape(mask.shape[0], -1)
    scaled = solve_subsets(gram, matrix.sum(axis=1), flat)
    return (scaled / scale[:, None]).reshape(mask.shape)


least_squares = Decoder(_weights)
"""Weights that minimise ‖A_Sᵀ w − 1‖ over the workers S that answered; 0 elsewhere.

What no other weights can beat for orthogonal gradients of equal norm; OD [11] decodes so,
and any plan can be. Where S is rank-deficient, of all minimisers the one with least
Σ_i w_i²‖a_i‖², which does not change when a message is rescaled; for rows of equal norm
it is the one of least norm. Nothing answered gives 0.

Works on the Gram matrix AAᵀ: two messages whose directions differ by less than about 1e-5
in float64, 5e-3 in float32, begin to count as the same. O(k³) a mask, for batches in
memory that does not grow with it; the most that a plan of 1,000 workers needs is tens of
milliseconds."""
