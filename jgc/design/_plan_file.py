"""Plans in files: what one process designed, another trains with."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from jgc import _checks
from jgc._files import write_atomically
from jgc._plan import CodingPlan

_FORMAT = "jgc plan 1"
_ARRAYS = {
    "straggler_probabilities": np.float64,
    "edge_worker": np.int32,
    "edge_partition": np.int32,
    "edge_coefficient": np.float64,
    "weights": np.float64,
}


def save_plan(plan: CodingPlan, path: str | Path, **about_it: Any) -> None:
    """Writes a plan as NPZ, all of it or none; `load_plan` gives the same bits back.

    Args:
        plan: one plan, not a batch.
        path: whose folder exists; a file there is replaced.
        about_it: what else to keep, as JSON has it.

    Raises:
        ValueError: a batch of plans.
        OSError: `path` cannot be written.

    Example:
        >>> import tempfile
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_plan(plan, f"{folder}/plan.npz")
        ...     load_plan(f"{folder}/plan.npz").name
        'interval'
    """
    if np.ndim(plan.weights) != 1:
        raise ValueError(f"plan must be one, got a batch {np.shape(plan.weights)[:-1]}")
    about = {
        "format": _FORMAT,
        "num_workers": plan.num_workers,
        "num_partitions": plan.num_partitions,
        "name": plan.name,
        **about_it,
    }
    content = io.BytesIO()
    arrays: dict[str, Any] = {
        name: np.asarray(getattr(plan, name), kind) for name, kind in _ARRAYS.items()
    }
    np.savez_compressed(content, about=np.array(json.dumps(about)), **arrays)
    write_atomically(Path(path), content.getvalue())


def load_plan(path: str | Path) -> CodingPlan:
    """Reads what `save_plan` wrote, and checks that it is a plan.

    Raises:
        ValueError: the file holds something else, or is damaged; names it.
        OSError: it cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "plan.npz").write_text("something else")
        ...     load_plan(f"{folder}/plan.npz")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: ...plan.npz is not a plan that jgc wrote: ...
    """
    return read_plan(path)[0]


def read_plan(path: str | Path) -> tuple[CodingPlan, dict[str, Any]]:
    """The plan, and all that was kept about it."""
    path = Path(path)
    content = io.BytesIO(path.read_bytes())
    try:
        with np.load(content, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in _ARRAYS}
    except Exception as error:  # zipfile and NumPy raise a dozen kinds at damage
        raise ValueError(f"{path} is not a plan that jgc wrote: {error}") from error
    try:
        return _checked_plan(about, arrays), about
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold a sound plan: {error}") from error


def _checked_plan(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> CodingPlan:
    if about.get("format") != _FORMAT:
        raise ValueError(f"its format must be {_FORMAT!r}, got {about.get('format')!r}")
    k = _checks.count("num_workers", about["num_workers"])
    n = _checks.count("num_partitions", about["num_partitions"])
    for name, kind in _ARRAYS.items():
        if arrays[name].dtype != kind or arrays[name].ndim != 1:
            raise ValueError(f"{name} must be a vector of {np.dtype(kind)}")
    _checks.probabilities(arrays["straggler_probabilities"], some_answer=False)
    if arrays["straggler_probabilities"].size != k:
        raise ValueError(f"straggler_probabilities must have {k} entries")
    return CodingPlan.from_edges(
        arrays["edge_worker"],
        arrays["edge_partition"],
        arrays["edge_coefficient"],
        p=arrays["straggler_probabilities"],
        num_partitions=n,
        weights=arrays["weights"],
        name=str(about["name"]),
    )
