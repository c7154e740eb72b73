"""Weights divided by what answered: the mean of those who took part."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jgc._plan import CodingPlan
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype


@pytree
@dataclass(frozen=True)
class Normalised(Decoder):
    """w_i n / Σ_l I_l w_l s_l for those who answered, with s_l = Σ_j a_lj.

    The plan's weights, scaled so that coefficients add up to n whoever answered: the
    mean over who took part, as synchronous training with backup workers takes it (Chen
    et al. 2016), and fault-tolerant data parallelism over a quorum. Exact for aligned
    gradients while anyone answers. Otherwise biased towards the data of reliable
    workers, even where the plan's own weights are not; with equal p and disjoint data
    of equal sizes only by the factor 1 − P₀.
    """

    name = "normalised"

    def check(self, plan: CodingPlan) -> None:
        arrays = (plan.edge_coefficient, plan.weights)
        if any(isinstance(array, jax.core.Tracer) for array in arrays):
            return  # under jit there are no values to check
        if np.ndim(plan.weights) != 1:
            return  # a batch of plans
        parts = np.asarray(_row_sums(plan)) * np.asarray(plan.weights)
        if (parts < -1e-6 * np.abs(parts).max(initial=0)).any():
            at = int(parts.argmin())
            raise ValueError(
                "decoders.normalised needs weights that add to the sum, w_i Σ_j a_ij ≥ "
                f"0, got {float(parts[at]):.3g} of worker {at} of {plan.name!r}"
            )

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        trailing = (1,) * (answered.ndim - 1)
        w = jnp.asarray(plan.weights, float_dtype()).reshape(-1, *trailing)
        parts = _row_sums(plan).reshape(-1, *trailing) * w
        total = jnp.where(answered, parts, 0).sum(axis=0)
        share = jnp.where(total > 0, plan.num_partitions / total, 0)
        return jnp.where(answered, w, 0) * share


normalised = Normalised()


def _row_sums(plan: CodingPlan) -> Float[Array, " k"]:
    values = jnp.asarray(plan.edge_coefficient, float_dtype())
    return jax.ops.segment_sum(values, jnp.asarray(plan.edge_worker), plan.num_workers)
