"""Batches of partitions read ahead of their use, iteration by iteration.

Threads decode the examples of a source that gives them one by one: image decoders
release the interpreter's lock, so that processes would gain nothing and cost a copy.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Int

from jgc import _checks
from jgc._extras import require
from jgc.training._partitions import Batch, Partitions
from jgc.training._sources import collect

# What is done to a batch when it has been read, and what comes of it.
Placed: TypeAlias = Any
Place: TypeAlias = Callable[[Batch], Placed]


class Reader:
    """The batches of some partitions; get one from `open_reader`, close it after use.

    Used by one thread.
    """

    def __init__(
        self,
        batch_of: Callable[[int], Placed],
        *,
        is_whole: bool,
        is_ahead: bool,
        close: Callable[[], None],
    ) -> None:
        """Takes what `open_reader` made.

        Args:
            batch_of: reads the batch of an iteration, in another thread.
            is_whole: it is the same for all iterations.
            is_ahead: call it for the next iteration before that is asked for.
            close: called at the end.
        """
        self._batch_of = batch_of
        self._whole: Placed | None = None
        self._is_whole = is_whole
        self._is_ahead = is_ahead and not is_whole
        self._close = close
        self._thread = ThreadPoolExecutor(1, "jgc-reader")
        self._next: tuple[int, Future[Placed]] | None = None

    def read(self, iteration: int) -> Placed:
        """The batch of an iteration: one after another are read ahead, any may be.

        Raises:
            ValueError: the reader is closed.
            Exception: whatever the source raises.
        """
        if self._whole is not None:
            return self._whole
        iteration = _checks.count("iteration", iteration, minimum=0)
        if self._is_whole:
            iteration = 0
        found, self._next = self._next, None
        if found is None or found[0] != iteration:
            if found is not None:
                found[1].cancel()
            found = iteration, self._submit(iteration)
        batch = found[1].result()
        if self._is_whole:
            self._whole = batch
            self.close()
        elif self._is_ahead:
            self._next = iteration + 1, self._submit(iteration + 1)
        return batch

    def close(self) -> None:
        """Ends the threads."""
        if self._next is not None:
            self._next[1].cancel()
            self._next = None
        self._thread.shutdown()
        self._close()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _submit(self, iteration: int) -> Future[Placed]:
        try:
            return self._thread.submit(self._batch_of, iteration)
        except RuntimeError:
            raise ValueError("the reader is closed") from None


def open_reader(
    partitions: Partitions,
    key: Array,
    *,
    read_ahead: int = 2,
    num_threads: int | None = None,
    place: Place = lambda batch: batch,
) -> Reader:
    """A reader of the batches that `partitions.rows(key, iteration)` names.

    Batches are on the host, but for `arrays` of JAX's. Where an iteration takes all
    examples, they are read once and kept. Examples that a source gives one by one are
    read by grain, of the extra `data`, unless `read_ahead` is 0; so many batches lie in
    memory besides the one in use.

    Args:
        partitions: of the whole source, or those that a worker or device holds.
        key: of the run.
        read_ahead: how many batches to read before they are asked for; 0: none.
        num_threads: threads that read examples; None: one a core, at most 32.
        place: called on each batch ahead of its use, such as `jax.device_put`.

    Raises:
        ValueError: a number out of its range.
        ImportError: grain is not installed.

    >>> import jax.numpy as jnp
    >>> from jgc.training import arrays, partitioned
    >>> cut = partitioned(arrays(jnp.arange(8.0)), [0, 0, 1, 1, 2, 2, 3, 3],
    ...                  num_partitions=4, batch_size=1)
    >>> with open_reader(cut.select([3, 1]), jax.random.key(0)) as reader:
    ...     batch = reader.read(100)
    >>> batch.partition.tolist(), (batch.examples // 2).tolist()
    ([3, 1], [[3.0], [1.0]])
    """
    ahead = _checks.count("read_ahead", read_ahead, minimum=0)
    threads = min(32, os.cpu_count() or 1) if num_threads is None else num_threads
    threads = _checks.count("num_threads", threads)
    if hasattr(partitions.source, "take") or ahead == 0:

        def batch_of(iteration: int) -> Placed:
            return place(partitions.batch(key, iteration))

        def close() -> None:
            return None

    else:
        examples = _grain_iterator(partitions, key, read_ahead=ahead, threads=threads)
        size = len(partitions.size) * partitions.batch_size
        following = 0  # the example that comes next

        def batch_of(iteration: int) -> Placed:
            nonlocal following
            if following != iteration * size:
                examples.set_state({"next_index": iteration * size})
            following = (iteration + 1) * size
            try:
                own = collect(examples, size)
            except BaseException:
                following = -1
                raise
            return place(partitions.host_batch(own))

        close = examples.close

    return Reader(
        batch_of, is_whole=partitions.is_whole, is_ahead=ahead > 0, close=close
    )


def _grain_iterator(
    partitions: Partitions, key: Array, *, read_ahead: int, threads: int
) -> Any:
    """The examples of all iterations, one after another, decoded ahead by threads."""
    grain = require("grain", extra="data")
    size = len(partitions.size) * partitions.batch_size
    source, rows_of = partitions.source, _row_table(partitions, key)

    class Examples(grain.MapDataset):  # type: ignore[name-defined]
        """Example i is number i mod m·b of iteration ⌊i/(m·b)⌋."""

        def __len__(self) -> int:
            return size if partitions.is_whole else 2**62

        def __getitem__(self, index: int) -> Any:
            iteration, slot = divmod(index, size)
            return source[int(rows_of(iteration)[slot])]

    # The batch that is being put together is one of those ahead.
    batches = 0 if partitions.is_whole else max(1, read_ahead - 1)
    buffered = max(size * batches, 2 * threads)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffered)
    return iter(Examples().to_iter_dataset(options))


def _row_table(
    partitions: Partitions, key: Array
) -> Callable[[int], Int[np.ndarray, " examples"]]:
    """Rows of an iteration on the host.

    Drawn by the processor, where nothing waits for an accelerator's step to end.
    """
    with suppress(RuntimeError):  # where JAX_PLATFORMS leaves it out
        key = jax.device_put(key, jax.local_devices(backend="cpu")[0])

    @lru_cache(maxsize=16)
    def rows_of(iteration: int) -> Int[np.ndarray, " examples"]:
        return np.ravel(partitions.rows(key, iteration))

    return rows_of
