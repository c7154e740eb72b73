"""The batches of a run, by its key and the number of the iteration."""

import jax
import numpy as np
from jaxtyping import Array

from jgc.training._partitions import Batch, Partitions
from jgc.training._reader import Place, Placed, Reader, open_reader
from jgc.training._sources import read_examples
from jgc.training._state import run_keys


class Feed:
    """Reads ahead by the key that it is asked for; a context manager."""

    def __init__(self, data: Partitions, *, place: Place = lambda batch: batch) -> None:
        """Of these partitions; `place` puts a batch where it is needed."""
        self._data, self._place = data, place
        self._reader: Reader | None = None
        self._key: Array | None = None
        self._name = b""

    def read(self, key: Array, iteration: int) -> Placed:
        """The batch of an iteration, counted from 0, of the run with this key."""
        if self._reader is None or key is not self._key:
            name = np.asarray(jax.random.key_data(key)).tobytes()
            if self._reader is None or name != self._name:
                self.close()
                batches = run_keys(key).batches
                self._reader = open_reader(self._data, batches, place=self._place)
            self._key, self._name = key, name
        return self._reader.read(iteration)

    def close(self) -> None:
        """Ends the reader's threads."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def few_examples(data: Partitions, count: int = 4) -> Batch:
    """Some examples as one partition, to try a loss on."""
    rows = np.asarray(data.order)[:count]
    examples = jax.tree.map(
        lambda leaf: np.asarray(leaf)[None], read_examples(data.source, rows)
    )
    weights = np.full((1, rows.size), 1 / rows.size, np.float32)
    return Batch(examples, weights, np.zeros(1, np.int32))
