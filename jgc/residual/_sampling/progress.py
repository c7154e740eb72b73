"""A progress bar for runs that take long enough to want one."""

import importlib.util
import sys
import time
from types import ModuleType
from typing import Any

from jgc import _extras as extras

# A run is silent for this long before an automatic bar appears.
_PATIENCE_SECONDS = 3.0


class Progress:
    """A context manager with `update`; shows a bar by rich, or nothing.

    Args:
        total: trials of the whole run.
        show: True for a bar at once, False for none, None for a bar on a terminal
            once the run has lasted a few seconds and rich is installed.
        target: the relative standard error that may end the run, for the label.
    """

    def __init__(self, total: int, *, show: bool | None, target: float | None) -> None:
        self._total, self._target = total, target
        self._rich: ModuleType | None = None
        if show:
            self._rich = extras.require("rich.progress", extra="experiments")
        elif show is None and sys.stderr.isatty() and importlib.util.find_spec("rich"):
            self._rich = importlib.import_module("rich.progress")
        self._appears = time.monotonic() + (0 if show else _PATIENCE_SECONDS)
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        return self

    def update(self, trials: int, relative_error: float) -> None:
        """Shows that `trials` are done and what they give."""
        if self._rich is None or time.monotonic() < self._appears:
            return
        if self._bar is None:
            self._bar = self._start(self._rich)
            self._task = self._bar.add_task("", total=self._total, error="")
        goal = "" if self._target is None else f", target {self._target:.2g}"
        self._bar.update(
            self._task,
            completed=trials,
            error=f"relative standard error {relative_error:.2g}{goal}",
        )

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @staticmethod
    def _start(rich: ModuleType) -> Any:
        from rich.console import Console

        bar = rich.Progress(
            rich.TextColumn("trials"),
            rich.BarColumn(),
            rich.MofNCompleteColumn(),
            rich.TimeRemainingColumn(),
            rich.TextColumn("{task.fields[error]}"),
            console=Console(stderr=True),
        )
        bar.start()
        return bar
