"""The latencies of the last rounds: what a waiting rule that adapts is chosen by."""

from collections import deque
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from jgc.design.rules import MEMORY, Past


@dataclass
class _Row:
    """A round that is over: when it began, and what is known of it."""

    round: int
    began: float
    seconds: Float[np.ndarray, " k"]
    waited: float


class Recent:
    """Remembers rounds, and fills in the answers that come when one is over."""

    def __init__(self, num_workers: int) -> None:
        """Of k workers, none yet."""
        self._k = num_workers
        self._rows: deque[_Row] = deque(maxlen=MEMORY)

    def add(
        self, round: int, began: float, seconds: Float[np.ndarray, " k"], waited: float
    ) -> None:
        """A round that is over.

        Args:
            round: its number.
            began: by the clock of `late`.
            seconds: to each answer; infinite where none came.
            waited: seconds that it took.
        """
        known = np.where(np.isfinite(seconds), seconds, np.nan)
        self._rows.append(_Row(round, began, known, waited))

    def late(self, round: int, worker: int, now: float) -> None:
        """An answer of an earlier round that is seen only `now`: so late at most."""
        for row in self._rows:
            if row.round == round and np.isnan(row.seconds[worker]):
                row.seconds[worker] = now - row.began

    def past(self) -> Past:
        """As rules take it."""
        found = Past.nothing(self._k)
        for place, row in enumerate(self._rows, start=MEMORY - len(self._rows)):
            found.seconds[place], found.waited[place] = row.seconds, row.waited
        return found
