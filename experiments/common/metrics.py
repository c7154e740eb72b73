"""Metrics of one run as JSON lines and TensorBoard events that survive a restart."""

import json
import os
from pathlib import Path

from jgc._extras import require
from jgc._files import read_json_lines, write_json_lines


class MetricsWriter:
    """Appends metrics of ascending iterations; a context manager.

    A run that restarts from iteration t passes `resume_from=t`: what was written after
    t is dropped, so that every iteration is logged once.
    """

    def __init__(self, directory: Path, *, resume_from: int = 0) -> None:
        """Opens `directory/metrics.jsonl` and TensorBoard events beside it.

        Args:
            directory: the run's own; made if it does not exist.
            resume_from: iterations up to this one are kept.

        Raises:
            ImportError: tensorboardX is not installed (extra "experiments").
        """
        tensorboard = require("tensorboardX", extra="experiments")
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "metrics.jsonl"
        kept = [row for row in read_json_lines(path) if row["iteration"] <= resume_from]
        write_json_lines(path, kept)
        self._lines = path.open("a")
        self._events = tensorboard.SummaryWriter(
            str(directory), purge_step=resume_from + 1, write_to_disk=True
        )

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self._lines.close()
        self._events.close()

    def write(self, iteration: int, **metrics: float) -> None:
        """Logs `metrics` under `iteration`."""
        self._lines.write(json.dumps({"iteration": iteration, **metrics}) + "\n")
        for name, value in metrics.items():
            self._events.add_scalar(name, value, iteration)

    def flush(self) -> None:
        """Makes sure that what was written outlives the process."""
        self._lines.flush()
        os.fsync(self._lines.fileno())
        self._events.flush()
