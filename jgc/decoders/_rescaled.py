"""Divide by those who answered: what has come stands for what has not."""

import jax.numpy as jnp

from jgc._plan import CodingPlan
from jgc.decoders._decoder import Decoder, Mask, Weights, coefficients
from jgc.decoders._representative import representative


def _weights(plan: CodingPlan, mask: Mask) -> Weights:
    w = representative(plan, mask)
    total = coefficients(plan, w).sum(axis=0)
    scale = jnp.where(total > 0, plan.num_partitions / jnp.where(total > 0, total, 1), 0)
    return w * scale


rescaled = Decoder(_weights)
"""One answer per group with the same data, times n over the partitions that arrived.

"Ignore the late and rescale" for plans without redundancy; exact for repetition codes
whenever no group is lost, and otherwise unbiased if groups are lost alike. Σ_j c_j = n
in every iteration: exact for equal gradients, whoever answered. 0 if nobody did."""
