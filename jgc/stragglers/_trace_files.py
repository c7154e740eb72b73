"""Traces in files: CSV, NPZ and Parquet."""

import csv
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jgc._extras import require
from jgc.stragglers._trace import Trace, trace

_LONG = ("worker", "round", "seconds")
_Read = tuple[Float[np.ndarray, "T k"], tuple[str, ...]]


def load_trace(path: str | Path, *, missing_is_late: bool = False) -> Trace:
    r"""Reads recorded latencies in seconds: a row a round, a column a worker.

    By the file's ending:

    - `.csv`: a header with the workers' names, then numbers. An empty cell is missing.
      Or the long form, with the header `worker,round,seconds` in any order and a line
      an answer: rounds and workers in the order of their numbers, or of first mention
      where they have names; answers without a line are missing.
    - `.npz`: an array (T, k) called `latencies`, or the only one in the file.
    - `.parquet`: a numeric column a worker, called by its name (extra "traces"). Null
      is missing. A pandas index that was stored as a column is left out.

    Args:
        path: of the file.
        missing_is_late: read cells that are missing, NaN or infinite as "no answer ever
            came", which is late at every deadline. By default they are errors.

    Raises:
        ValueError: another ending, or a file that does not hold a trace: no rounds,
            fewer than two workers, rows of unequal lengths, cells that are no numbers,
            negative or missing. Names the file and the place.
        OSError: the file cannot be read.
        ImportError: a Parquet file, and pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "seconds.csv"
        ...     _ = path.write_text("fast,slow\n0.5,2.5\n0.75,\n")
        ...     recorded = load_trace(path, missing_is_late=True)
        >>> recorded.workers, recorded.latencies.tolist()
        (('fast', 'slow'), [[0.5, 2.5], [0.75, inf]])
    """
    path = Path(path)
    try:
        read = _READERS[path.suffix.lower()]
    except KeyError:
        raise ValueError(
            f"{path}: a trace must end in {', '.join(_READERS)}, got {path.suffix!r}"
        ) from None
    try:
        latencies, workers = read(path)
        return trace(latencies, missing_is_late=missing_is_late, workers=workers)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_csv(path: Path) -> _Read:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        rows = [(reader.line_num, cells) for cells in reader if cells]
    if not rows:
        raise ValueError("the file is empty; a trace has a header and a line a round")
    (_, header), *lines = rows
    if sorted(name.strip().lower() for name in header) == sorted(_LONG):
        return _read_long([name.strip().lower() for name in header], lines)
    if all(_is_number(name) for name in header):
        raise ValueError(
            "the first line must name the workers, got numbers; a trace needs a "
            "header, such as worker_0,worker_1,…"
        )
    if not lines:
        raise ValueError("there is a header and no round below it")
    latencies = np.empty((len(lines), len(header)))
    for row, (number, cells) in enumerate(lines):
        if len(cells) != len(header):
            raise ValueError(
                f"line {number} has {len(cells)} cells, the header names "
                f"{len(header)} workers"
            )
        for column, cell in enumerate(cells):
            try:
                latencies[row, column] = float(cell) if cell.strip() else math.nan
            except ValueError:
                raise ValueError(
                    f"line {number}, worker {header[column]}: {cell!r} is not a number "
                    "of seconds; a trace has a column a worker, or the header "
                    "worker,round,seconds and a line an answer"
                ) from None
    return latencies, tuple(header)


def _read_long(header: list[str], lines: list[tuple[int, list[str]]]) -> _Read:
    """A line an answer, as most logs are."""
    if not lines:
        raise ValueError("there is a header and no answer below it")
    at = [header.index(name) for name in _LONG]
    workers, rounds, seconds = [], [], []
    for number, cells in lines:
        if len(cells) != 3:
            raise ValueError(
                f"line {number} has {len(cells)} cells, the header names 3"
            )
        worker, round, cell = (cells[i].strip() for i in at)
        try:
            seconds.append(float(cell) if cell else math.nan)
        except ValueError:
            raise ValueError(
                f"line {number}, worker {worker}: {cell!r} is not a number of seconds"
            ) from None
        workers.append(worker)
        rounds.append(round)
    names, row_names = _in_order(workers), _in_order(rounds)
    column = {name: i for i, name in enumerate(names)}
    row = {name: i for i, name in enumerate(row_names)}
    latencies = np.full((len(row), len(column)), math.nan)
    seen = np.zeros(latencies.shape, bool)
    for (number, _), worker, round, value in zip(
        lines, workers, rounds, seconds, strict=True
    ):
        place = row[round], column[worker]
        if seen[place]:
            raise ValueError(
                f"line {number}: worker {worker} has another answer in round {round}"
            )
        latencies[place], seen[place] = value, True
    return latencies, names


def _in_order(names: list[str]) -> tuple[str, ...]:
    """Different names: by number where all are numbers, else as they first come."""
    different = list(dict.fromkeys(names))
    if all(_is_number(name) for name in different):
        different.sort(key=float)
    return tuple(different)


def _read_npz(path: Path) -> _Read:
    if not zipfile.is_zipfile(path):
        raise ValueError("not an NPZ file")
    try:
        with np.load(path, allow_pickle=False) as file:
            names = file.files
            name = names[0] if len(names) == 1 else "latencies"
            if name not in names:
                raise ValueError(
                    f"there must be an array called latencies, got {sorted(names)}"
                )
            return file[name], ()
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"not an NPZ file: {error}") from None


def _read_parquet(path: Path) -> _Read:
    parquet = require("pyarrow.parquet", extra="traces")
    arrow = require("pyarrow", extra="traces")
    try:
        table = parquet.read_table(path)
    except arrow.ArrowInvalid as error:
        raise ValueError(f"not a Parquet file: {error}") from None
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    workers = tuple(name for name in table.column_names if name not in index)
    columns = []
    for name in workers:
        kind = table.schema.field(name).type
        if not (arrow.types.is_floating(kind) or arrow.types.is_integer(kind)):
            raise ValueError(f"column {name} must hold numbers, got {kind}")
        columns.append(table[name].cast(arrow.float64()).to_numpy())
    # A table without columns has no rows for NumPy to count.
    return np.array(columns).reshape(len(workers), -1).T, workers


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path], _Read]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
