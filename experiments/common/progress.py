"""Progress of many runs: loss, rate and time left, on a terminal or in a log."""

import logging
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as _Bar

_LOG = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOG_LINES = 15.0


class RunProgress:
    """Counts iterations over all runs; a context manager.

    A bar where standard error is a terminal, else a log line now and then.
    """

    def __init__(
        self, num_runs: int, iterations_per_run: int, *, is_shown: bool = True
    ) -> None:
        """Expects `num_runs` runs of `iterations_per_run` iterations.

        Args:
            num_runs: that are left.
            iterations_per_run: of each.
            is_shown: false for all but one of several processes.
        """
        self._is_shown = is_shown
        self._total = num_runs * iterations_per_run
        self._iterations_per_run = iterations_per_run
        self._runs_started = 0
        self._done = 0
        self._computed = 0  # here, not in an earlier process
        self._began: float | None = None  # after the first, which compiles
        self._logged = time.monotonic()
        self._run_name = ""
        console = Console(stderr=True)
        self._bar = _Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  {task.fields[rate]:.1f} it/s"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not (console.is_terminal and is_shown),
        )
        self._task = self._bar.add_task(
            "", total=self._total, loss=float("nan"), rate=0.0
        )

    def __enter__(self) -> "RunProgress":
        self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.stop()

    def start_run(self, name: str, iteration: int) -> None:
        """The next run begins, at `iteration` if it was resumed."""
        self._run_name = name
        self._done = self._runs_started * self._iterations_per_run + iteration
        self._runs_started += 1
        self._bar.update(self._task, description=name, completed=self._done)
        if iteration and self._is_shown:
            _LOG.info("%s: resumed after iteration %d", name, iteration)

    def advance(self, loss: float) -> None:
        """One more iteration of the current run, with its loss."""
        self._done += 1
        now = time.monotonic()
        if self._began is None:
            self._began = now
            return
        self._computed += 1
        rate = self._computed / max(now - self._began, 1e-9)
        self._bar.update(self._task, completed=self._done, loss=loss, rate=rate)
        if not self._is_shown or not self._bar.disable:
            return
        if now - self._logged > _SECONDS_BETWEEN_LOG_LINES:
            self._logged = now
            _LOG.info(
                "%s: %d/%d iterations of all runs, loss %.4f, %.1f it/s, %d s left",
                self._run_name,
                self._done,
                self._total,
                loss,
                rate,
                (self._total - self._done) / rate,
            )
