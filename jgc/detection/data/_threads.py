"""A source read by threads that work ahead by a bounded amount, results in order."""

import os
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import grain

Result = TypeVar("Result")

_AHEAD = 4  # results a thread may lie waiting, which bounds the memory


def default_threads() -> int:
    """Returns the number of threads to decode images with: a core each, at most 16."""
    return min(16, os.cpu_count() or 1)


def read_in_threads(
    function: Callable[[Any], Result], source: Any, *, num_threads: int | None = None
) -> Generator[Result]:
    """Yields function(item) for each item of a source, in order.

    Args:
        function: what to compute, not None; an exception reaches the consumer.
        source: with a length and random access, such as a range.
        num_threads: at least 1; None: `default_threads()`.

    Raises:
        ValueError: num_threads is below 1.
    """
    threads = default_threads() if num_threads is None else num_threads
    if threads < 1:
        raise ValueError(f"num_threads={threads} must be at least 1")
    if len(source) == 0:
        return
    options = grain.ReadOptions(
        num_threads=threads, prefetch_buffer_size=_AHEAD * threads
    )
    results = iter(
        grain.MapDataset.source(source).map(function).to_iter_dataset(options)
    )
    try:
        yield from results
    finally:
        results.close()
