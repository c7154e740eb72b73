"""COCO's own folder layout: where its parts lie, and whether they changed."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jgc.detection.data._paths import existing_directory


class CocoSplit(NamedTuple):
    """Where one split lies, relative to the COCO folder.

    Attributes:
        images: folder of the image files.
        annotations: annotation file in COCO's instances format.
    """

    images: str
    annotations: str


#: Where COCO 2017's splits lie in its own layout.
COCO_2017_SPLITS: Mapping[str, CocoSplit] = {
    "train": CocoSplit("train2017", "annotations/instances_train2017.json"),
    "validation": CocoSplit("val2017", "annotations/instances_val2017.json"),
}


def in_coco_layout(root: Path, splits: Mapping[str, CocoSplit]) -> bool:
    """Returns whether any part of the layout is there; the rest may be missing."""
    return any((root / part).exists() for split in splits.values() for part in split)


def check_layout(
    directory: str | os.PathLike[str], splits: Mapping[str, CocoSplit]
) -> Path:
    """Returns the COCO folder as an absolute path.

    Raises:
        FileNotFoundError: it, an image folder or an annotation file is missing.
        ValueError: `directory` is a file, or `splits` is empty.
    """
    if not splits:
        raise ValueError(
            "splits={} must name at least one split, such as "
            f"{dict(COCO_2017_SPLITS)}"
        )
    root = existing_directory("directory", directory)
    for name, split in splits.items():
        expected = f"split {name!r} expects it (argument splits={dict(splits)})"
        if not (root / split.images).is_dir():
            raise FileNotFoundError(
                f"directory={os.fspath(directory)!r} has no image folder "
                f"{split.images!r}; {expected}"
            )
        if not (root / split.annotations).is_file():
            raise FileNotFoundError(
                f"directory={os.fspath(directory)!r} has no annotation file "
                f"{split.annotations!r}; {expected}"
            )
    return root


def fingerprint(directory: Path, splits: Mapping[str, CocoSplit]) -> str:
    """Returns 16 hexadecimal digits that change with the folder's content.

    They cover the folder's path, the splits, the annotation files' content and the
    image files' names and sizes; a second for all of COCO 2017.
    """
    digest = hashlib.sha256(os.fsencode(directory))
    for name, split in sorted(splits.items()):
        digest.update(repr((name, split)).encode())
        with (directory / split.annotations).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
        for path, size in sorted(_files(directory / split.images)):
            digest.update(os.fsencode(path) + b"\0%d" % size)
    return digest.hexdigest()[:16]


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Yields path and size of every file; a broken link's size is −1."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                size = os.stat(path).st_size
            except OSError:
                size = -1
            yield path, size
