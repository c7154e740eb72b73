"""Divide by those who answered: what has come stands for what has not."""

from dataclasses import dataclass

import jax.numpy as jnp

from jgc._plan import CodingPlan, coefficients_of
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights
from jgc.decoders._representative import representative


@pytree
@dataclass(frozen=True)
class Rescaled(Decoder):
    """One answer a group with the same data, times n over the partitions that arrived.

    "Ignore the late and rescale" for plans without redundancy. For repetition codes it
    is exact whenever no group is lost, and otherwise unbiased if groups are lost alike.
    Σ_j c_j = n in every iteration: for plans whose messages are plain sums it is exact
    for equal gradients, whoever answered. 0 if nobody did.

    Example:
        >>> import jgc, numpy as np
        >>> plan = jgc.codes.uncoded([0.1, 0.1, 0.1], num_partitions=3)
        >>> rescaled(plan, np.array([True, False, True])).tolist()
        [1.5, 0.0, 1.5]
    """

    name = "rescaled"

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        w = representative.weights(plan, answered)
        total = coefficients_of(plan, w).sum(axis=0)
        came = total > 0
        return w * jnp.where(came, plan.num_partitions / jnp.where(came, total, 1), 0)


rescaled = Rescaled()
