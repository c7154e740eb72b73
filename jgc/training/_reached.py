"""Which partitions somebody who answered holds."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jgc._plan import AnyArray, CodingPlan


@jax.jit  # called from NumPy too, once an iteration
def reached(plan: CodingPlan, answered: Bool[AnyArray, " k"]) -> Bool[Array, " n"]:
    """Whether some worker that answered holds a partition."""
    holds = jnp.asarray(plan.edge_coefficient) != 0
    told = jnp.asarray(answered)[jnp.asarray(plan.edge_worker)] & holds
    count = jax.ops.segment_sum(
        told.astype(jnp.int32), plan.edge_partition, plan.num_partitions
    )
    return count > 0
