"""Which runs are compared with one another."""

from typing import NamedTuple

from experiments.common.schemes import find_scheme
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.specs import RunSpec


class Panel(NamedTuple):
    """What schemes are compared within: a deadline, an optimizer and its Λ."""

    deadline: float | None
    optimizer: str
    noise_ratio: float | None

    def shows(self, run: RunSpec) -> bool:
        """Whether a run belongs to it; one without a deadline belongs to many."""
        if run.deadline not in (None, self.deadline):
            return False
        if find_scheme(run.scheme).waits_for_all:
            # Where all are waited for, an optimizer of two tracks is that of one.
            single_track = OPTIMIZERS[self.optimizer].single_track
            return run.optimizer in (self.optimizer, single_track)
        return (run.optimizer, run.noise_ratio) == (self.optimizer, self.noise_ratio)


def panels_of(runs: list[RunSpec]) -> list[Panel]:
    """Those of the runs, without what only waits for everybody if anything else is."""
    panels = [Panel(run.deadline, run.optimizer, run.noise_ratio) for run in runs]
    with_deadline = [panel for panel in panels if panel.deadline is not None]
    distinct = dict.fromkeys(with_deadline or panels)
    return sorted(distinct, key=lambda panel: panel.deadline or 0)
