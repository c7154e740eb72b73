"""A data set that TFDS has prepared with coco/2017's features, read without TensorFlow.

Its records are shuffled: their order by image id is found by reading each once, and
kept in the user's cache directory.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int64

from jgc._cache import user_cache
from jgc.detection.data._categories import Categories, categories_from_names
from jgc.detection.data._prepared import check_readable
from jgc.detection.data._quiet import quiet_tfds
from jgc.detection.data._record import Record
from jgc.detection.data._threads import read_in_threads


class TfdsRecords:
    """The records of one split, by image id."""

    def __init__(self, stored: Any, order: "RecordOrder") -> None:
        """Of TFDS's data source, whose images are still encoded."""
        self._stored, self._order = stored, order

    def __len__(self) -> int:
        return len(self._order.positions)

    def __getitem__(self, index: int) -> Record:
        example = self._stored[int(self._order.positions[index])]
        objects = example["objects"]
        return Record(
            encoded=example["image"],
            file_name=example["image/filename"].decode(),
            image_id=int(example["image/id"]),
            bbox=np.asarray(objects["bbox"], np.float32).reshape(-1, 4),
            label=np.asarray(objects["label"], np.int64),
            area=np.asarray(objects["area"], np.int64),
            annotation_id=np.asarray(objects["id"], np.int64),
            is_crowd=np.asarray(objects["is_crowd"], np.bool_),
        )

    @property
    def most_objects(self) -> int:
        """The most objects, crowds included, of one record."""
        return self._order.most_objects


class RecordOrder(NamedTuple):
    """What is known of a split only once every record has been read.

    Attributes:
        positions: of the records, by image id.
        most_objects: the most objects, crowds included, of one record.
    """

    positions: Int64[np.ndarray, " N"]
    most_objects: int


def open_tfds(directory: Path, split: str) -> tuple[TfdsRecords, Categories]:
    """One split of a prepared data set.

    Args:
        directory: of `find_prepared`.
        split: the split's name.

    Raises:
        ValueError: there is no such split, the format has no random access, a feature
            is missing, or an image id occurs twice.
    """
    with quiet_tfds():
        builder = tfds.builder_from_directory(os.fspath(directory))
    check_readable(builder, directory)
    if split not in builder.info.splits:
        raise ValueError(
            f"split={split!r} must be one of {sorted(builder.info.splits)}, which "
            f"{directory} holds"
        )
    stored = builder.as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    names = builder.info.features["objects"]["label"].names
    order = _order(stored, directory, split)
    return TfdsRecords(stored, order), categories_from_names(names)


def _order(stored: Any, directory: Path, split: str) -> RecordOrder:
    path = user_cache() / "orders" / f"{_fingerprint(directory, split)}.npz"
    if path.exists():
        with np.load(path) as kept:
            return RecordOrder(kept["positions"], int(kept["most_objects"]))

    def look(record: Any) -> tuple[int, int]:
        return int(record["image/id"]), len(record["objects"]["label"])

    seen = np.array(list(read_in_threads(look, stored)), np.int64).reshape(-1, 2)
    ids = seen[:, 0]
    repeated = len(ids) - len(np.unique(ids))
    if repeated:
        raise ValueError(
            f"'image/id' in split {split!r} of {directory} must be distinct; "
            f"{repeated} are repeated"
        )
    order = RecordOrder(np.argsort(ids), int(seen[:, 1].max(initial=0)))
    _keep(path, order)
    return order


def _keep(path: Path, order: RecordOrder) -> None:
    """Complete or not at all; a cache that can't be written is no error."""
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            np.savez(file, positions=order.positions, most_objects=order.most_objects)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)


def _fingerprint(directory: Path, split: str) -> str:
    """Changes with the data set's path and with its files' names, sizes and times."""
    files = [
        (path.name, path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(directory.iterdir())
    ]
    text = json.dumps([os.fspath(directory), split, files])
    return hashlib.sha256(text.encode()).hexdigest()[:32]
