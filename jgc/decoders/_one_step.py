"""One-step decoding [8]: one weight for all who answered, by how many they are."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jgc import _checks
from jgc._plan import CodingPlan
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype


@pytree
@dataclass(frozen=True)
class OneStep(Decoder):
    """k/(r d) for each of the r workers that answered.

    Attributes:
        replication: d; None: the plan's load.
    """

    replication: float | Array | None = None

    name = "one step"

    def check(self, plan: CodingPlan) -> None:
        if plan.num_edges == 0 and self.replication is None:
            raise ValueError(
                f"{plan.name} holds nothing: one_step needs replication= for it"
            )
        a = plan.edge_coefficient
        if isinstance(a, jax.core.Tracer):
            return
        other = np.asarray(a)[np.asarray(a) != 1]
        if other.size:
            raise ValueError(
                f"one_step decodes messages that are sums of gradients, a_ij = 1; "
                f"{plan.name} has a coefficient {other.flat[0]:g}"
            )

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        d = plan.load if self.replication is None else self.replication
        scale = jnp.asarray(plan.num_workers / d, float_dtype())
        return answered * (scale / jnp.maximum(answered.sum(0), 1))


def one_step(*, replication: float | None = None) -> Decoder:
    """The one-step decoder of [8]: w_i = k/(r d) where r workers answered, 0 if none.

    For codes whose messages are plain sums of gradients: BGC and fractional repetition
    are decoded like this in [8] (there k/(r s), s for d), without a solve and without
    p. A set of r workers holds a partition dr/k times on average over the sets, so that
    E[c_j] = 1 − P(nobody answers) where all p_i are equal and every partition is on
    exactly d workers; partitions of more workers, or of more reliable ones, count more.
    [8]'s other decoder, min_w ‖Aᵀw − 1‖, is `least_squares`.

    Args:
        replication: d > 0 that the placement was drawn for; None: the plan's own
            E/n, which a draw meets on average.

    Raises:
        ValueError: d is not a positive number; in use, a plan with other coefficients
            than 1.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1, 0.1, 0.2, 0.2], num_partitions=4, replication=2
        ... )
        >>> one_step()(plan, np.array([True, False, True, False])).tolist()
        [1.0, 0.0, 1.0, 0.0]
    """
    if replication is None:
        return OneStep()
    d = _checks.scalar("replication", replication)
    if d <= 0:
        raise ValueError(f"replication must be above 0, got {replication!r}")
    return OneStep(d)
