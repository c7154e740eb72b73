"""One split of a detection data set on disk, with random access."""

import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Bool, Float32, Int64

from jgc.detection.data._categories import Categories, categories_from_names
from jgc.detection.data._coco_folder import prepare_coco_folder
from jgc.detection.data._coco_layout import COCO_2017_SPLITS, CocoSplit, in_coco_layout
from jgc.detection.data._images import decode_image
from jgc.detection.data._index import SplitIndex, read_index
from jgc.detection.data._paths import existing_directory
from jgc.detection.data._prepared import check_readable, find_prepared
from jgc.detection.data._quiet import quiet_tfds
from jgc.detection.data._report import SplitReport


class Record(NamedTuple):
    """One example as it is stored; O objects, crowds included.

    Attributes:
        encoded: the image file.
        file_name: its name.
        image_id: its id.
        bbox: ymin, xmin, ymax, xmax relative to the image, in [0, 1].
        label: classes, 0 to C − 1.
        area: pixels² of the original image.
        annotation_id: the annotations' ids.
        is_crowd: the box is drawn around a crowd.
    """

    encoded: bytes
    file_name: str
    image_id: int
    bbox: Float32[np.ndarray, "O 4"]
    label: Int64[np.ndarray, " O"]
    area: Int64[np.ndarray, " O"]
    annotation_id: Int64[np.ndarray, " O"]
    is_crowd: Bool[np.ndarray, " O"]


class DetectionSource:
    """One split, ordered by image id; get one from `open_source`.

    `source[i]` is the i-th example as a dictionary with coco/2017's names: "image"
    (H, W, 3) uint8, "image/filename" str, "image/id" int, and "objects", a
    dictionary of arrays over the O objects: "area" (O,) int64 in pixels², "bbox"
    (O, 4) float32 as ymin, xmin, ymax, xmax in [0, 1], "id" (O,) int64, "is_crowd"
    (O,) bool, "label" (O,) int64. Reading is safe from many threads, and a source
    pickles as the path of its data set.

    Attributes:
        directory: the prepared data set.
        split: the split's name.
        class_names: name of each label.
        category_ids: COCO category id of each label.
        report: what preparing the split skipped; None where the data set doesn't
            say, such as coco/2017 prepared by TFDS.
    """

    def __init__(
        self,
        *,
        directory: Path,
        split: str,
        categories: Categories,
        report: SplitReport | None,
        records: Any,
        ordered: bool,
    ) -> None:
        """Takes what `open_source` found.

        Args:
            directory: the prepared data set.
            split: the split's name.
            categories: names and COCO ids, by label.
            report: what preparing the split skipped.
            records: random access to the examples, their images still encoded.
            ordered: `records` is ordered by image id already.
        """
        self.directory = directory
        self.split = split
        self.class_names = categories.names
        self.category_ids = categories.ids
        self.report = report
        self._records = records
        self._ordered = ordered

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        record = self.record(index)
        return {
            "image": np.asarray(decode_image(record.encoded)),
            "image/filename": record.file_name,
            "image/id": record.image_id,
            "objects": {
                "area": record.area,
                "bbox": record.bbox,
                "id": record.annotation_id,
                "is_crowd": record.is_crowd,
                "label": record.label,
            },
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"DetectionSource({os.fspath(self.directory)!r}, split={self.split!r}, "
            f"{len(self)} examples, {len(self.class_names)} classes)"
        )

    def record(self, index: int) -> Record:
        """Returns example `index`, its image not decoded.

        Raises:
            IndexError: index is not in [−len, len).
        """
        position = range(len(self))[index]
        if not self._ordered:
            position = int(self._index.positions[position])
        example = self._records[position]
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
        """The most objects, crowds included, that one image has."""
        return (
            self._index.most_objects
            if self.report is None
            else (self.report.most_objects)
        )

    @functools.cached_property
    def _index(self) -> SplitIndex:
        return read_index(self._records, directory=self.directory, split=self.split)

    def __reduce__(self) -> tuple[Any, ...]:
        return _open_prepared, (self.directory, self.split)


def open_source(
    directory: str | os.PathLike[str],
    *,
    split: str,
    cache_dir: str | os.PathLike[str] | None = None,
    splits: Mapping[str, CocoSplit] = COCO_2017_SPLITS,
) -> DetectionSource:
    """Opens one split of a detection data set for random access.

    Args:
        directory: either a data set that TFDS has prepared with coco/2017's
            features and file_format="array_record" (…/coco/2017/1.1.0, or a folder
            above it that holds one such data set), or a folder in COCO's own layout
            (train2017/, val2017/, annotations/), which is prepared on the first use.
        split: such as "train" or "validation".
        cache_dir: for COCO's layout, where the prepared data goes; None: `data` in
            $JGC_CACHE, or else in the user's cache directory.
        splits: for COCO's layout, where each split lies; all of them are prepared.

    Returns:
        The split, ordered by image id. A data set that our builder didn't prepare
        isn't stored in that order: its first use reads all of the split once, and
        keeps what it found in the user's cache directory.

    Raises:
        FileNotFoundError: `directory`, or a part of COCO's layout, doesn't exist.
        ValueError: `directory` is neither layout, isn't stored for random access or
            lacks a feature; there is no such split; an annotation file is malformed.
    """
    root = existing_directory("directory", directory)
    if in_coco_layout(root, splits):
        if split not in splits:
            raise ValueError(f"split={split!r} must be one of {sorted(splits)}")
        prepared = prepare_coco_folder(root, cache_dir=cache_dir, splits=splits)
    else:
        prepared = find_prepared(root)
    return _open_prepared(prepared, split)


def _open_prepared(prepared: Path, split: str) -> DetectionSource:
    with quiet_tfds():
        builder = tfds.builder_from_directory(os.fspath(prepared))
    check_readable(builder, prepared)
    if split not in builder.info.splits:
        raise ValueError(
            f"split={split!r} must be one of {sorted(builder.info.splits)}, which "
            f"{prepared} holds"
        )
    metadata = _metadata(prepared)
    names = builder.info.features["objects"]["label"].names
    categories = categories_from_names(names)
    if "category_ids" in metadata:
        categories = categories._replace(ids=tuple(metadata["category_ids"]))
    report = metadata.get("reports", {}).get(split)
    return DetectionSource(
        directory=prepared,
        split=split,
        categories=categories,
        report=None if report is None else SplitReport.from_json(report),
        records=builder.as_data_source(
            split, decoders={"image": tfds.decode.SkipDecoding()}
        ),
        ordered=metadata.get("ordered_by_image_id", False),
    )


def _metadata(prepared: Path) -> dict[str, Any]:
    path = prepared / "metadata.json"
    return json.loads(path.read_text()) if path.exists() else {}
