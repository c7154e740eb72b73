"""Threads that work ahead by a bounded amount, results in order."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 4  # results a thread may lie waiting, which bounds the memory


def default_threads() -> int:
    """Returns the number of threads to decode images with: a core each, at most 16."""
    return min(16, os.cpu_count() or 1)


def map_in_order(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    num_threads: int,
    ahead: int | None = None,
) -> Generator[Result]:
    """Yields function(item) for each item, in order, computed by threads.

    Unlike `Executor.map` it doesn't run through all of `items` at once, so images
    don't pile up in memory when the consumer is slow.

    Args:
        function: what to compute; an exception reaches the consumer.
        items: its arguments.
        num_threads: at least 1.
        ahead: results that may lie waiting, at least 1; None: 4 a thread.
    """
    if num_threads < 1:
        raise ValueError(f"num_threads={num_threads} must be at least 1")
    most = num_threads * _AHEAD if ahead is None else ahead
    with ThreadPoolExecutor(num_threads) as executor:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(executor.submit(function, item))
                if len(waiting) >= most:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
