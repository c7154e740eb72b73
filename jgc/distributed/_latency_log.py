"""A log of latencies that `jgc.stragglers.load_trace` reads back."""

import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jgc._files import write_atomically


class LatencyLog:
    """Appends an iteration's latencies as a row of a CSV file; a context manager.

    A worker that was late has an empty cell: how late is not known, as it was told to
    drop the task. `load_trace(path, missing_is_late=True)` reads the file.
    """

    def __init__(self, path: Path, *, num_workers: int, resume_from: int = 0) -> None:
        """Opens `path`; a resumed run keeps the rows of the iterations behind it.

        Args:
            path: ends in .csv.
            num_workers: k.
            resume_from: how many iterations the run has behind it.
        """
        header = ",".join(f"worker_{i}" for i in range(num_workers)) + "\n"
        old = path.read_text().splitlines(keepends=True) if path.exists() else []
        write_atomically(path, "".join([header, *old[1 : resume_from + 1]]))
        self._file = path.open("a", newline="")
        self._rows = csv.writer(self._file, lineterminator="\n")

    def __enter__(self) -> "LatencyLog":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def write(self, latencies: Float[np.ndarray, " k"]) -> None:
        """Logs one iteration: seconds (k,), infinite for workers that were late."""
        self._rows.writerow(
            f"{seconds:.6f}" if np.isfinite(seconds) else "" for seconds in latencies
        )
        self._file.flush()
