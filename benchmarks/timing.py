"""Times of calls, taken in turns so that a busy machine is busy for all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

import jax


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes, until its result is there."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def median_seconds(
    calls: Mapping[str, Callable[[], object]], *, repeats: int
) -> dict[str, float]:
    """The median time of each call; the first of each, which compiles, not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        seconds(call)
    for _ in range(repeats):
        for name, call in calls.items():
            times[name].append(seconds(call))
    return {name: statistics.median(values) for name, values in times.items()}
