"""Devices of several processes, connected before anything keeps one of them."""

from functools import cache, partial

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_PATIENCE = 30 * 60  # seconds, what XLA's collectives wait for a connected process


@cache
def connect(mesh: Mesh, param_axis: str | None = None) -> None:
    """Waits for the processes of a mesh, once, and lets its devices meet.

    Gloo connects the devices of a group at their first collective, and then only those
    that come within 30 seconds: a compilation that takes one process longer than the
    others would be an error there and a hang here. Once connected they wait for long.

    Args:
        mesh: of the step.
        param_axis: another group of devices that exchanges, along that axis.

    Raises:
        jax.errors.JaxRuntimeError: a process is lost, or did not come in half an hour.
    """
    processes = sorted({device.process_index for device in mesh.devices.flat})
    if len(processes) == 1:
        return
    spec = PartitionSpec(mesh.axis_names)
    split = NamedSharding(mesh, spec)
    ones = jax.make_array_from_callback(
        (mesh.size,), split, lambda index: np.ones(mesh.size, np.int32)[index]
    )
    groups = [mesh.axis_names, *([] if param_axis is None else [(param_axis,)])]
    meetings = [
        jax.jit(
            jax.shard_map(
                partial(jax.lax.psum, axis_name=group),
                mesh=mesh,
                in_specs=spec,
                out_specs=spec,
                check_vma=False,  # each device gives its own copy of the sum
            )
        )
        .lower(ones)
        .compile()
        for group in groups
    ]
    # JAX has no public barrier that needs no devices.
    from jax._src import distributed

    client = distributed.global_state.client
    if client is not None:  # without one, the runtime has met by other means
        devices = [device.id for device in mesh.devices.flat]
        name = f"jgc {mesh.shape} {devices} {param_axis}"
        client.wait_at_barrier(name, _PATIENCE * 1000, process_ids=processes)
    for meet in meetings:
        jax.block_until_ready(meet(ones))
    # The state is compared between processes, in groups of their own.
    jax.device_put(np.int32(0), NamedSharding(mesh, PartitionSpec()))
