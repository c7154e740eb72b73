"""One split of a detection data set on disk, with random access."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jgc._extras import require
from jgc.detection.data._categories import Categories
from jgc.detection.data._coco_folder import prepare_folder, read_folder_split
from jgc.detection.data._coco_layout import (
    COCO_2017_SPLITS,
    CocoSplit,
    check_layout,
    in_coco_layout,
)
from jgc.detection.data._images import decode_image
from jgc.detection.data._paths import existing_directory, find_prepared
from jgc.detection.data._record import Record, Records
from jgc.detection.data._report import SplitReport


class DetectionSource:
    """One split, ordered by image id; get one from `open_source`.

    `source[i]` is the i-th example as a dictionary with coco/2017's names: "image"
    (H, W, 3) uint8, "image/filename" str, "image/id" int, and "objects", a
    dictionary of arrays over the O objects: "area" (O,) int64 in pixels², "bbox"
    (O, 4) float32 as ymin, xmin, ymax, xmax in [0, 1], "id" (O,) int64, "is_crowd"
    (O,) bool, "label" (O,) int64. Reading is safe from many threads, and a source
    pickles as the path of its data set.

    Attributes:
        directory: the folder in COCO's layout, or what TFDS has prepared.
        split: the split's name.
        class_names: name of each label.
        category_ids: COCO category id of each label.
        report: what of a folder was skipped; None for what TFDS has prepared.
    """

    def __init__(
        self,
        *,
        directory: Path,
        split: str,
        categories: Categories,
        report: SplitReport | None,
        records: Records,
        reopen: tuple[Any, ...],
    ) -> None:
        """Takes what `open_source` found.

        Args:
            directory: the data set.
            split: the split's name.
            categories: names and COCO ids, by label.
            report: what was skipped.
            records: the examples by image id.
            reopen: a function and its arguments that open the same source again.
        """
        self.directory = directory
        self.split = split
        self.class_names = categories.names
        self.category_ids = categories.ids
        self.report = report
        self._records = records
        self._reopen = reopen

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
        return self._records[range(len(self))[index]]

    @property
    def most_objects(self) -> int:
        """The most objects, crowds included, that one image has."""
        return self._records.most_objects

    def __reduce__(self) -> tuple[Any, ...]:
        function, *arguments = self._reopen
        return function, tuple(arguments)


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
            (train2017/, val2017/, annotations/). The first use reads all of it once;
            no image is copied.
        split: such as "train" or "validation".
        cache_dir: for COCO's layout, where what was found in the folder is kept, some
            40 MB for COCO 2017; None: `data` in $JGC_CACHE, or else in the user's cache
            directory.
        splits: for COCO's layout, where each split lies; all of them are read.

    Returns:
        The split, ordered by image id. Images and annotations of a folder that can't
        be used are left out, counted in its report and warned of once.

    Raises:
        FileNotFoundError: `directory`, or a part of COCO's layout, doesn't exist.
        ValueError: `directory` is neither layout, isn't stored for random access or
            lacks a feature; there is no such split; an annotation file is malformed,
            splits disagree about the categories, or one has no usable image.
    """
    root = existing_directory("directory", directory)
    if in_coco_layout(root, splits):
        if split not in splits:
            raise ValueError(f"split={split!r} must be one of {sorted(splits)}")
        check_layout(root, splits)
        kept = prepare_folder(root, splits, cache_dir=cache_dir)
        return _open_folder(kept, root, split, cache_dir, dict(splits))
    return _open_tfds(find_prepared(root), split)


def _open_folder(
    kept: Path,
    root: Path,
    split: str,
    cache_dir: str | os.PathLike[str] | None,
    splits: Mapping[str, CocoSplit],
) -> DetectionSource:
    if not kept.exists():  # on another machine, which has the folder alone
        kept = prepare_folder(root, splits, cache_dir=cache_dir)
    found = read_folder_split(kept, split)
    return DetectionSource(
        directory=root,
        split=split,
        categories=found.categories,
        report=found.report,
        records=found.records,
        reopen=(_open_folder, kept, root, split, cache_dir, splits),
    )


def _open_tfds(directory: Path, split: str) -> DetectionSource:
    for module in ("array_record", "tensorflow_datasets"):  # folders need neither
        require(module, extra="detection")
    from jgc.detection.data._tfds import open_tfds

    records, categories = open_tfds(directory, split)
    return DetectionSource(
        directory=directory,
        split=split,
        categories=categories,
        report=None,
        records=records,
        reopen=(_open_tfds, directory, split),
    )
