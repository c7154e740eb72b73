"""Metrics of one run as JSON lines and TensorBoard events that survive a restart."""

import json
import os
import time
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
        require("tensorboardX", extra="experiments")
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "metrics.jsonl"
        kept = [row for row in read_json_lines(path) if row["iteration"] <= resume_from]
        write_json_lines(path, kept)
        self._lines = path.open("a")
        self._events = _Events(directory, first_iteration=resume_from + 1)

    def __enter__(self) -> "MetricsWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self._lines.close()
        self._events.close()

    def write(self, iteration: int, **metrics: float) -> None:
        """Logs `metrics` under `iteration`."""
        self._lines.write(json.dumps({"iteration": iteration, **metrics}) + "\n")
        for name, value in metrics.items():
            self._events.write(iteration, name, value)

    def flush(self) -> None:
        """Makes sure that what was written outlives the process."""
        self._lines.flush()
        os.fsync(self._lines.fileno())
        self._events.flush()


class _Events:
    """TensorBoard events, written by the thread that asks.

    tensorboardX's own writer has a thread that dies of a full disk, and then lets the
    program wait for it forever.
    """

    def __init__(self, directory: Path, *, first_iteration: int) -> None:
        """A file of its own; TensorBoard hides what others say from there on."""
        from tensorboardX import event_file_writer, summary
        from tensorboardX.proto import event_pb2

        self._event, self._scalar = event_pb2.Event, summary.scalar
        self._file = event_file_writer.EventsWriter(
            str(directory / "events"), f".{first_iteration}"
        )
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._file.write_event(
            event_pb2.Event(
                wall_time=time.time(), step=first_iteration, session_log=start
            )
        )

    def write(self, iteration: int, name: str, value: float) -> None:
        self._file.write_event(
            self._event(
                wall_time=time.time(),
                step=iteration,
                summary=self._scalar(name, value),
            )
        )

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
