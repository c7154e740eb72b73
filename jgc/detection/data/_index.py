"""What is known of a split only once every record has been read, kept in the cache."""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from jgc._cache import user_cache
from jgc.detection.data._threads import read_in_threads


class SplitIndex(NamedTuple):
    """The order of a split's records, and the size of the fullest.

    Attributes:
        positions: of the records, by image id.
        most_objects: the most objects, crowds included, of one record.
    """

    positions: Int64[np.ndarray, " N"]
    most_objects: int


def read_index(records: Any, *, directory: Path, split: str) -> SplitIndex:
    """The index of a data set that our builder didn't prepare.

    Reads every record the first time; later what the user's cache directory holds.

    Args:
        records: random access to the examples, their images still encoded.
        directory: the prepared data set.
        split: the split's name.

    Raises:
        ValueError: an image id occurs twice.
    """
    path = user_cache() / "indices" / f"{_fingerprint(directory, split)}.npz"
    if path.exists():
        with np.load(path) as kept:
            return SplitIndex(kept["positions"], int(kept["most_objects"]))

    def look(record: Any) -> tuple[int, int]:
        return int(record["image/id"]), len(record["objects"]["label"])

    seen = np.array(list(read_in_threads(look, records)), np.int64).reshape(-1, 2)
    ids = seen[:, 0]
    repeated = len(ids) - len(np.unique(ids))
    if repeated:
        raise ValueError(
            f"'image/id' in split {split!r} of {directory} must be distinct; "
            f"{repeated} are repeated"
        )
    index = SplitIndex(np.argsort(ids), int(seen[:, 1].max(initial=0)))
    _write(path, index)
    return index


def _write(path: Path, index: SplitIndex) -> None:
    """Complete or not at all; a cache that can't be written is no error."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            np.savez(file, **index._asdict())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def _fingerprint(directory: Path, split: str) -> str:
    """Changes with the data set's path, description, and files of records."""
    digest = hashlib.sha256(f"{directory}\0{split}".encode())
    digest.update((directory / "dataset_info.json").read_bytes())
    for path in sorted(directory.glob("*record*")):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(str(path.stat().st_mtime_ns).encode())
    return digest.hexdigest()[:32]
