"""Which device takes which workers, and what each device then decodes."""

import heapq

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array, eye_array, hstack, kron

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan, coefficients_of

# Variables of an exact search, and how many branches it tries: seconds at most.
_MOST_VARIABLES, _MOST_NODES = 1_000, 200


def balance(loads: ArrayLike, *, num_devices: int) -> Int[np.ndarray, " k"]:
    """The device of each worker such that the largest load of a device is least.

    Workers go to the least loaded device, the largest first (LPT [Graham 1969]: at most
    4/3 of the least). Where that misses the lower bound max(max_i b_i, ⌈Σ_i b_i / D⌉)
    and the problem is small, an integer programme looks for better.

    Args:
        loads: b_i (k,), integers ≥ 0, such as `plan.batch_sizes`.
        num_devices: D.

    Returns:
        For each worker a device in [0, D).

    Raises:
        ValueError: loads that are no such integers, or no device.

    Example:
        >>> balance([3, 3, 2, 2, 2], num_devices=2).tolist()  # 6 and 6
        [0, 0, 1, 1, 1]
    """
    size = _checks.vector("loads", loads)
    if (size < 0).any() or (size != np.round(size)).any():
        raise ValueError(f"loads must be integers ≥ 0, got {loads!r}")
    num_devices = _checks.count("num_devices", num_devices)
    device = _largest_first(size, num_devices)
    largest = np.bincount(device, size, num_devices).max()
    bound = max(size.max(), np.ceil(size.sum() / num_devices))
    if largest > bound and size.size * num_devices <= _MOST_VARIABLES:
        better = _search(size, num_devices, bound, largest - 1)
        return device if better is None else better
    return device


def held_partitions(
    plan: CodingPlan, worker_device: Int[np.ndarray, " k"], *, num_devices: int
) -> Bool[np.ndarray, "D n"]:
    """Whether some worker of a device holds a partition."""
    held = np.zeros((num_devices, plan.num_partitions), bool)
    held[worker_device[np.asarray(plan.edge_worker)], plan.edge_partition] = True
    return held


def device_coefficients(
    plan: CodingPlan,
    worker_device: Int[np.ndarray, " k"],
    weights: Float[AnyArray, "*tracks k"],
    *,
    num_devices: int,
) -> Float[Array, "*tracks D n"]:
    """c_dj = Σ_{i on d} v_i a_ij: what device d multiplies g_j by.

    Σ_i v_i f_i = Σ_d Σ_j c_dj g_j, so that the messages of a device's workers are
    weighted and added up by one backward pass of the device.

    Args:
        plan: the code.
        worker_device: of `balance`.
        weights: v = `decoder(plan, mask)`, 0 for workers that did not answer; a second
            row for a second track.
        num_devices: D.
    """
    is_on = worker_device[:, None] == np.arange(num_devices)
    weights = jnp.asarray(weights)
    split = jnp.moveaxis(weights[..., None] * is_on, -2, 0)  # (k, *tracks, D)
    return jnp.moveaxis(coefficients_of(plan, split), 0, -1)


def _largest_first(
    size: Float[np.ndarray, " k"], num_devices: int
) -> Int[np.ndarray, " k"]:
    devices = [(0.0, index) for index in range(num_devices)]
    result = np.zeros(size.size, np.int32)
    for worker in np.argsort(-size, kind="stable"):
        load, index = devices[0]
        heapq.heapreplace(devices, (load + size[worker], index))
        result[worker] = index
    return result


def _search(
    size: Float[np.ndarray, " k"],
    num_devices: int,
    at_least: float,
    at_most: float,
) -> Int[np.ndarray, " k"] | None:
    """The best assignment with a largest load in the range; None if none was found."""
    k = size.size
    # Variables: x_id, whether worker i is on device d, by workers; then the largest.
    once = hstack([kron(eye_array(k), np.ones(num_devices)), csr_array((k, 1))])
    load = hstack([kron(size, eye_array(num_devices)), -np.ones((num_devices, 1))])
    lowest = np.append(np.zeros(k * num_devices), at_least)
    highest = np.append(np.ones(k * num_devices), at_most)
    found = milp(
        np.append(np.zeros(k * num_devices), 1),
        constraints=[LinearConstraint(once, 1, 1), LinearConstraint(load, ub=0)],
        bounds=Bounds(lowest, highest),
        integrality=np.ones(k * num_devices + 1),
        # Not seconds: all processes of a job must find the same.
        options={"node_limit": _MOST_NODES},
    )
    if found.x is None:
        return None
    return found.x[:-1].reshape(k, num_devices).argmax(axis=1).astype(np.int32)
