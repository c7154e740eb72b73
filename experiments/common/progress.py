"""Progress of many runs: loss, rate and time left, on a terminal or in a log."""

import logging
import threading
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


class Abandoned(Exception):
    """Another run failed, so that this one ends too."""


class RunProgress:
    """Counts iterations over all runs, in any threads; a context manager.

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
        self._lock = threading.Lock()
        self._is_abandoned = False
        self._done = 0
        self._computed = 0  # here, not in an earlier process
        self._began: float | None = None  # after the first, which compiles
        self._logged = time.monotonic()
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

    def abandon(self) -> None:
        """Ends runs in other threads at their next iteration, by `Abandoned`."""
        self._is_abandoned = True

    def start_run(self, name: str, iteration: int) -> None:
        """A run begins, at `iteration` if it was resumed."""
        with self._lock:
            self._done += iteration
            self._bar.update(self._task, description=name, completed=self._done)
        if iteration and self._is_shown:
            _LOG.info("%s: resumed after iteration %d", name, iteration)

    def advance(self, name: str, loss: float) -> None:
        """One more iteration of a run, with its loss.

        Raises:
            Abandoned: another run failed.
        """
        if self._is_abandoned:
            raise Abandoned
        with self._lock:
            self._advance(name, loss)

    def _advance(self, name: str, loss: float) -> None:
        self._done += 1
        now = time.monotonic()
        if self._began is None:
            self._began = now
            return
        self._computed += 1
        rate = self._computed / max(now - self._began, 1e-9)
        self._bar.update(
            self._task, description=name, completed=self._done, loss=loss, rate=rate
        )
        if not self._is_shown or not self._bar.disable:
            return
        if now - self._logged > _SECONDS_BETWEEN_LOG_LINES:
            self._logged = now
            _LOG.info(
                "%s: %d/%d iterations of all runs, loss %.4f, %.1f it/s, %d s left",
                name,
                self._done,
                self._total,
                loss,
                rate,
                (self._total - self._done) / rate,
            )
