"""Several runs at once in threads, which compiled programs do not block."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def in_threads(
    do: Callable[[Item], None],
    items: Iterable[Item],
    *,
    count: int,
    abandon: Callable[[], None],
) -> None:
    """`do(item)` of all items in their order, `count` at once.

    Args:
        do: what may run in threads; where count is 1, in this one.
        items: what to do it to.
        count: of threads.
        abandon: called when one of them raises, or this thread is told to stop: ends
            those that are under way.

    Raises:
        Exception: the first that is raised.
    """
    if count == 1:
        for item in items:
            do(item)
        return
    with ThreadPoolExecutor(count, "run") as pool:
        under_way = [pool.submit(do, item) for item in items]
        try:
            for future in as_completed(under_way):
                future.result()
        except BaseException:
            abandon()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class OneAtFirst:
    """Lets one thread through a place until it is out: others find what it compiled."""

    def __init__(self) -> None:
        """No place has been passed."""
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._passed: set[str] = set()

    @contextmanager
    def __call__(self, place: str) -> Iterator[None]:
        """The place of this name; an error within leaves it closed to all but one."""
        if place in self._passed:
            yield
            return
        with self._locks[place]:
            yield
        self._passed.add(place)
