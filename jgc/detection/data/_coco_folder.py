"""A folder in COCO's own layout, read in place; what was found out about it is kept."""

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jgc._cache import user_cache
from jgc.detection.data._annotations import Annotations, read_annotations
from jgc.detection.data._categories import Categories
from jgc.detection.data._coco_layout import CocoSplit, fingerprint
from jgc.detection.data._folder_index import FolderIndex, build_index
from jgc.detection.data._paths import existing_directory
from jgc.detection.data._record import Record
from jgc.detection.data._report import SplitReport

_LOG = logging.getLogger(__name__)
_VERSION = 1  # part of the name: raise it when what is kept changes


class FolderRecords:
    """The records of one split of a folder; images are read when they are asked for."""

    def __init__(self, folder: Path, index: FolderIndex) -> None:
        """Of the split's image folder."""
        self._folder, self._index = folder, index

    def __len__(self) -> int:
        return len(self._index.image_id)

    def __getitem__(self, position: int) -> Record:
        """Record `position`, 0 to the length − 1.

        Raises:
            ValueError: its file can't be read any more.
        """
        index = self._index
        own = slice(index.start[position], index.start[position + 1])
        file_name = index.file_name[position]
        try:
            encoded = (self._folder / file_name).read_bytes()
        except OSError as error:
            raise ValueError(
                f"image {file_name!r} in {self._folder} can't be read any more: {error}"
            ) from error
        return Record(
            encoded=encoded,
            file_name=file_name,
            image_id=int(index.image_id[position]),
            bbox=index.bbox[own],
            label=index.label[own],
            area=index.area[own],
            annotation_id=index.annotation_id[own],
            is_crowd=index.is_crowd[own],
        )

    @property
    def most_objects(self) -> int:
        """The most objects, crowds included, of one record."""
        return int(np.diff(self._index.start).max(initial=0))


class FolderSplit(NamedTuple):
    """One split of a folder.

    Attributes:
        records: its images and objects.
        categories: the classes, by label.
        report: what was skipped.
    """

    records: FolderRecords
    categories: Categories
    report: SplitReport


def prepare_folder(
    root: Path,
    splits: Mapping[str, CocoSplit],
    *,
    cache_dir: str | os.PathLike[str] | None,
    num_threads: int | None = None,
) -> Path:
    """Finds out what of a folder can be used, and keeps that; does nothing if done.

    Every image file is decoded once. What can't be used is skipped, counted by reason
    and warned of; images without annotations stay, as negatives. The name of what is
    kept contains a fingerprint of the folder's path, its annotation files' content and
    its image files' names and sizes: when any of them changes, it is made anew.

    Args:
        root: the COCO folder, of `check_layout`.
        splits: where each split lies in it.
        cache_dir: see `open_source`.
        num_threads: threads that decode; None: one a core.

    Returns:
        The folder of what is kept.

    Raises:
        ValueError: an annotation file is malformed, splits disagree about the
            categories, or a split has no usable image.
    """
    cache = user_cache() / "data" if cache_dir is None else Path(cache_dir)
    cache = cache.expanduser().absolute()
    if cache.exists():
        existing_directory("cache_dir", cache)
    name = re.sub(r"[^A-Za-z0-9-]+", "-", root.name)
    kept = cache / f"{name}-{fingerprint(root, splits)}-{_VERSION}"
    if kept.exists():
        return kept
    read = {
        split: read_annotations(root / where.annotations)
        for split, where in splits.items()
    }
    categories = _same_categories(read, root)
    cache.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{kept.name}-", dir=cache))
    try:
        reports = {}
        for number, split in enumerate(splits):
            index, report = build_index(
                read.pop(split),
                root / splits[split].images,
                root,
                num_threads=num_threads,
            )
            if report.images == 0:
                raise ValueError(
                    f"split {split!r} of {root} has no usable image: "
                    + "; ".join(report.warnings())
                )
            index.save(draft / f"split{number}.npz")
            reports[split] = report
        metadata = {
            "source": os.fspath(root),
            "splits": {split: where._asdict() for split, where in splits.items()},
            "categories": categories._asdict(),
            "reports": {split: report.to_json() for split, report in reports.items()},
        }
        (draft / "metadata.json").write_text(json.dumps(metadata, indent=2))
        try:
            draft.rename(kept)
        except OSError:
            if not kept.exists():
                raise
            _LOG.info("another process has prepared %s meanwhile", kept)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    for split, report in reports.items():
        for warning in report.warnings():
            _LOG.warning("%s of %s: %s", split, root, warning)
    return kept


def read_folder_split(kept: Path, split: str) -> FolderSplit:
    """What `prepare_folder` kept of a split."""
    metadata: dict[str, Any] = json.loads((kept / "metadata.json").read_text())
    folder = Path(metadata["source"]) / metadata["splits"][split]["images"]
    number = list(metadata["splits"]).index(split)
    categories = {name: tuple(v) for name, v in metadata["categories"].items()}
    return FolderSplit(
        records=FolderRecords(folder, FolderIndex.load(kept / f"split{number}.npz")),
        categories=Categories(**categories),
        report=SplitReport.from_json(metadata["reports"][split]),
    )


def _same_categories(read: Mapping[str, Annotations], root: Path) -> Categories:
    first, *others = read
    for other in others:
        if read[other].categories != read[first].categories:
            raise ValueError(
                f"splits {first!r} and {other!r} of {root} must list the same "
                "categories; they differ in "
                f"{_difference(read[first], read[other])}"
            )
    return read[first].categories


def _difference(one: Annotations, other: Annotations) -> list[tuple[int, str]]:
    pairs = [
        set(zip(read.categories.ids, read.categories.names, strict=True))
        for read in (one, other)
    ]
    return sorted(pairs[0] ^ pairs[1])
