"""The fixed decoder: the plan's own weights, whoever answered."""

import jax.numpy as jnp

from jgc._plan import CodingPlan
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype


def _weights(plan: CodingPlan, mask: Mask) -> Weights:
    w = jnp.asarray(plan.weights, float_dtype())
    return jnp.where(mask, w.reshape(w.shape + (1,) * (mask.ndim - 1)), 0)


fixed = Decoder(_weights)
"""I_i w_i (5): what `CodingPlan.decode` does. Nothing to compute per iteration."""
