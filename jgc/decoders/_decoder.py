"""The protocol of decoders: from who answered to what each message is weighted by."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jgc._plan import CodingPlan

Mask = Bool[Array, "k *trials"]
Weights = Float[Array, "k *trials"]
Coefficients = Float[Array, "n *trials"]


def coefficients(plan: CodingPlan, weights: Weights) -> Coefficients:
    """c_j = Σ_i v_i a_ij: what g_j ends up multiplied by under the weights v.

    `CodingPlan.coefficients` is this for the plan's own weights and one mask.

    Args:
        plan: the code.
        weights: v (k, *trials), 0 for workers that did not answer.

    Returns:
        c (n, *trials), in the precision of `weights`.
    """
    k, n = plan.num_workers, plan.num_partitions
    values = jnp.asarray(plan.edge_coefficient, weights.dtype)
    # A matrix product once A is fairly full; the factor is where the two cost the
    # same on a CPU. Beyond 2^24 entries the dense matrix would not be small.
    if k * n <= min(16 * plan.num_edges, 1 << 24):
        matrix = jnp.zeros((n, k), weights.dtype)
        matrix = matrix.at[plan.edge_partition, plan.edge_worker].add(values)
        return jnp.tensordot(
            matrix, weights, axes=1, precision=jax.lax.Precision.HIGHEST
        )
    values = values.reshape(values.shape + (1,) * (weights.ndim - 1))
    return jax.ops.segment_sum(
        weights[jnp.asarray(plan.edge_worker)] * values, plan.edge_partition, n
    )


def float_dtype() -> jnp.dtype:
    """The precision decoders work in: float32, or float64 where x64 is enabled."""
    return jnp.result_type(float)


@dataclass(frozen=True)
class Decoder:
    """A pure function `decoder(plan, mask) -> weights`; jit- and vmappable.

    A mask (k,) is one iteration. Further axes are trials and go last, (k, *trials):
    then every step is an elementwise operation over contiguous trials, several times
    faster on a CPU than a `vmap` over the first axis.

    Attributes:
        weights: `weights(plan, mask)`, the weight (k, *trials) of each message, 0
            for workers that did not answer.
        direct_coefficients: `direct_coefficients(plan, mask)`, c (n, *trials), where
            it is known without the weights; None otherwise.
        specialise: `specialise(plans)`, a decoder of the same weights for these plans
            alone, which uses what can be seen of them outside `jit`; None where there
            is nothing to gain.
    """

    weights: Callable[[CodingPlan, Mask], Weights]
    direct_coefficients: Callable[[CodingPlan, Mask], Coefficients] | None = None
    specialise: "Callable[[Sequence[CodingPlan]], Decoder] | None" = None

    def __call__(self, plan: CodingPlan, mask: Mask) -> Weights:
        """The weight of each message: ĝ = Σ_i weights_i f_i.

        Args:
            plan: the code.
            mask: I_i (k, *trials), whether worker i answered in time.
        """
        return self.weights(plan, jnp.asarray(mask, bool))

    def coefficients(self, plan: CodingPlan, mask: Mask) -> Coefficients:
        """C (n, *trials), what g_j ends up multiplied by: ĝ = Σ_j c_j g_j."""
        mask = jnp.asarray(mask, bool)
        if self.direct_coefficients is not None:
            return self.direct_coefficients(plan, mask)
        return coefficients(plan, self.weights(plan, mask))

    def specialised(self, plans: Sequence[CodingPlan]) -> "Decoder":
        """The fastest decoder of the same weights for plans of equal k and n."""
        return self if self.specialise is None else self.specialise(plans)
