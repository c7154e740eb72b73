"""One answer per group of workers with the same data, as ErasureHead decodes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jgc._plan import CodingPlan
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype


@pytree
@dataclass(frozen=True)
class Representative(Decoder):
    """w_i for the first answering worker of each group with identical support, else 0.

    For fractional repetition codes: workers of a group send the same message, so that
    one of them is enough (ErasureHead [9], as its authors decode). Partitions whose
    whole group straggles are lost. A worker that shares its support with no other is
    its own group.
    """

    name = "one a group"

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        group = _groups(plan)
        w = jnp.asarray(plan.weights, float_dtype())
        index = jnp.arange(plan.num_workers)
        trailing = (1,) * (answered.ndim - 1)
        # The first of a group's workers that answered speaks for it.
        candidate = jnp.where(answered, index.reshape(-1, *trailing), plan.num_workers)
        first = jax.ops.segment_min(candidate, group, plan.num_workers)
        speaks = answered & (first[group] == index.reshape(-1, *trailing))
        return jnp.where(speaks, w.reshape(-1, *trailing), 0)


representative = Representative()


def _groups(plan: CodingPlan) -> jax.Array:
    """The least worker with the same support as worker i, for each i; O(E + k log k).

    Supports are compared by four 32-bit sums of mixed partition indices: two
    different supports collide with a probability near 2^-128.
    """
    k = plan.num_workers
    holds = jnp.asarray(plan.edge_coefficient) != 0
    seeds = jnp.arange(1, 5, dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
    mixed = _mix(jnp.asarray(plan.edge_partition, jnp.uint32)[:, None] ^ seeds)
    mixed = jnp.where(holds[:, None], _mix(mixed + seeds), 0)
    signature = jax.ops.segment_sum(mixed, plan.edge_worker, k)
    order = jnp.lexsort(tuple(signature.T))  # stable: ties keep the workers' order
    ordered = signature[order]
    starts = jnp.concatenate(
        [jnp.ones(1, bool), (ordered[1:] != ordered[:-1]).any(axis=1)]
    )
    run = jnp.cumsum(starts) - 1
    least = jax.ops.segment_min(order, run, k)
    return jnp.zeros(k, order.dtype).at[order].set(least[run])


def _mix(x: jax.Array) -> jax.Array:
    """A bijection of 32-bit words that scatters them (MurmurHash3's finaliser)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
