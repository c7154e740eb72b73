"""Examples spread over devices: each holds those of its own workers, in micro-batches.

A partition that several workers of one device hold is there once, and is computed once
a step: the device needs Σ_i I_i w_i f_i of its workers alone. What it computes is thus
at most the Σ_i b_i that `balance` levels, and less where co-located workers share.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan
from jgc.training._placement import held_partitions
from jgc.training._simulated import Examples


@jax.tree_util.register_dataclass
@dataclass(frozen=True, kw_only=True)
class SpreadExamples:
    """Examples in T micro-batches of m on each of D devices.

    Every array is split over its first axis, an entry a device. A device with less
    work than another has fewer micro-batches; what follows them is never read.

    Attributes:
        examples: the pytree of examples, leaves (D, T, m, …).
        partition: the partition of each example.
        weight: its share in the mean loss over all N examples, 1/N; 0 for repeated
            examples that fill a micro-batch up.
        counts: its share in the reported loss: the mean over the examples that some
            worker holds, each counted on one device.
        num_batches: how many micro-batches a device has.
    """

    examples: Examples
    partition: Int[AnyArray, "D T m"]
    weight: Float[AnyArray, "D T m"]
    counts: Float[AnyArray, "D T m"]
    num_batches: Int[AnyArray, " D"]


def spread(
    read: Callable[[Int[np.ndarray, " rows"]], Examples],
    partition: ArrayLike,
    plan: CodingPlan,
    worker_device: Int[np.ndarray, " k"],
    *,
    mesh: Mesh,
    micro_batch_size: int | None = None,
) -> SpreadExamples:
    """Gives each device the examples of its workers' partitions.

    With several processes each reads the examples of its own devices only.

    Args:
        read: `read(rows)`, those of the N examples as host arrays with a leading axis,
            such as `lambda rows: {"image": images[rows]}`; also for no rows.
        partition: the partition of each example (N,).
        plan: the code; only its edges count, so that a re-designed plan on the same
            placement needs no new call.
        worker_device: of `balance`, over the devices of `mesh` in their order.
        mesh: all of its devices, whatever its axes, take workers.
        micro_batch_size: m, how many examples are passed at once; default: the size of
            the largest partition. Memory grows with it, and the last micro-batch of a
            device is filled up to it. At most what the fullest device holds.

    Raises:
        ValueError: a partition that the plan does not have, a worker on a device that
            the mesh does not have, no examples, or a micro-batch of none.
    """
    partition = np.asarray(partition)
    _check(partition, plan, worker_device, mesh)
    sizes = np.bincount(partition, minlength=plan.num_partitions)
    m = int(sizes.max()) if micro_batch_size is None else micro_batch_size
    m = _checks.count("micro_batch_size", m)
    held = held_partitions(plan, worker_device, num_devices=mesh.size)
    counted = held & (np.cumsum(held, axis=0) == 1)  # on the first device that holds it
    own = held @ sizes
    m = min(m, max(1, int(own.max())))
    num_batches = -(-own // m)
    num_held = max(1, (counted @ sizes).sum())
    shape = (max(1, num_batches.max()), m)  # T, m

    def of_device(device: int) -> SpreadExamples:
        rows = np.flatnonzero(held[device][partition])
        # Repeated examples are of a kind that the loss knows, unlike zeros.
        used = np.resize(rows, num_batches[device] * m)
        each = partition[used].astype(np.int32)
        is_first = np.arange(used.size) < rows.size
        is_counted = is_first & counted[device][each]
        return SpreadExamples(
            examples=jax.tree.map(lambda leaf: _in_batches(leaf, shape), read(used)),
            partition=_in_batches(each, shape),
            weight=_in_batches(is_first / np.float32(partition.size), shape),
            counts=_in_batches(is_counted / np.float32(num_held), shape),
            num_batches=num_batches[device : device + 1].astype(np.int32),
        )

    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    entries = [
        jax.device_put(of_device(index), device)
        for index, device in enumerate(mesh.devices.flat)
        if device.process_index == jax.process_index()
    ]

    def join(*leaves: Array) -> Array:
        whole = (mesh.size, *leaves[0].shape[1:])
        return jax.make_array_from_single_device_arrays(whole, sharding, list(leaves))

    return jax.tree.map(join, *entries)


def _in_batches(
    array: ArrayLike, shape: tuple[int, int]
) -> Shaped[np.ndarray, "1 T m ..."]:
    """The entries in order, with zeros at the end."""
    array = np.asarray(array)
    whole = np.zeros((math.prod(shape), *array.shape[1:]), array.dtype)
    whole[: len(array)] = array
    return whole.reshape(1, *shape, *array.shape[1:])


def _check(
    partition: np.ndarray,
    plan: CodingPlan,
    worker_device: Int[np.ndarray, " k"],
    mesh: Mesh,
) -> None:
    k = plan.num_workers
    if partition.ndim != 1 or partition.size == 0:
        raise ValueError(
            f"partition must be one-dimensional and not empty, got shape "
            f"{partition.shape}"
        )
    _checks.numbers_below("partition", partition, plan.num_partitions)
    if np.shape(worker_device) != (k,):
        raise ValueError(
            f"worker_device must have shape ({k},), one device a worker, got "
            f"{np.shape(worker_device)}"
        )
    _checks.numbers_below("worker_device", worker_device, mesh.size)
