"""What the answer hangs on: how much of the seconds is work, and so few rounds."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jgc.design._candidate import Setting, played
from jgc.design._candidates import wait_for_all
from jgc.design._planner import Option
from jgc.design._race import CASE_WEIGHTS, race
from jgc.stragglers import LoadedTrace


class Sensitivity(NamedTuple):
    """The same options where the seconds grow otherwise with the load.

    Attributes:
        names: of the assumptions.
        relative_seconds: time to a loss over that of waiting for all (options,
            assumptions); infinite where an option does not get there.
    """

    names: tuple[str, ...]
    relative_seconds: Float[np.ndarray, "options assumptions"]


def sensitivity(
    options: Sequence[Option],
    assumptions: Sequence[tuple[str, LoadedTrace]],
    *,
    num_partitions: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Sensitivity:
    """Plays options, as they are, on rounds that were not those assumed.

    Args:
        options: of `search`.
        assumptions: names, and traces of the same workers.
        num_partitions: n where the data was cut for `search`: all are waited for so.
        progress: `progress(part)`.

    Example:
        >>> from jgc.design import search
        >>> from jgc.stragglers import trace, with_load
        >>> rows = trace(np.ones((5, 3)))
        >>> loaded = with_load(rows, work_fraction=1.0)
        >>> table = sensitivity(search(loaded)[:1], [("all is work", loaded)])
        >>> table.relative_seconds.round(2).tolist()
        [[1.0]]
    """
    table = np.empty((len(options), len(assumptions)))
    for column, (_, latencies) in enumerate(assumptions):
        effects = [wait_for_all(Setting(latencies, 1.0, num_partitions)).effect]
        for row, one in enumerate(options):
            effects.append(played(latencies, one))
            if progress is not None:
                done = column * len(options) + row + 1
                progress(done / (len(options) * len(assumptions)))
        times = race(effects, draws=4, seed=2).mean(1)
        with np.errstate(invalid="ignore"):
            ratio = np.log(times[1:]) - np.log(times[0])
        table[:, column] = np.exp(ratio @ CASE_WEIGHTS)
    return Sensitivity(tuple(name for name, _ in assumptions), table)
