"""The fixed decoder: the plan's own weights, whoever answered."""

from dataclasses import dataclass

import jax.numpy as jnp

from jgc._plan import CodingPlan
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype


@pytree
@dataclass(frozen=True)
class Fixed(Decoder):
    """I_i w_i (5): what `CodingPlan.decode` does. Nothing to compute per iteration."""

    is_fixed = True
    is_unbiased = None
    name = "fixed"

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        w = jnp.asarray(plan.weights, float_dtype())
        return jnp.where(answered, w.reshape(w.shape + (1,) * (answered.ndim - 1)), 0)


fixed = Fixed()
