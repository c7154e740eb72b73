"""The batches of a run, by its training state."""

from types import TracebackType

import jax
import numpy as np

from jgc.training._partitions import Batch, Partitions
from jgc.training._reader import Place, Reader, open_reader
from jgc.training._sources import read_examples
from jgc.training._state import TrainState, run_keys


class Feed:
    """Reads ahead by the key of the states that it is asked for; a context manager."""

    def __init__(self, data: Partitions, *, place: Place = lambda batch: batch) -> None:
        """Of these partitions; `place` puts a batch where it is needed."""
        self._data, self._place = data, place
        self._reader: Reader | None = None
        self._key: bytes = b""

    def read(self, state: TrainState) -> Batch:
        """The batch of the iteration after `state`."""
        key = np.asarray(jax.random.key_data(state.key)).tobytes()
        if self._reader is None or key != self._key:
            self.close()
            self._key = key
            self._reader = open_reader(
                self._data, run_keys(state.key).batches, place=self._place
            )
        return self._reader.read(int(state.iteration))

    def close(self) -> None:
        """Ends the reader's threads."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def few_examples(data: Partitions, count: int = 4) -> Batch:
    """Some examples as one partition, to try a loss on."""
    rows = np.asarray(data.order)[:count]
    examples = jax.tree.map(
        lambda leaf: np.asarray(leaf)[None], read_examples(data.source, rows)
    )
    weights = np.full((1, rows.size), 1 / rows.size, np.float32)
    return Batch(examples, weights, np.zeros(1, np.int32))
