"""A split as arrays in memory, and as pycocotools' ground truth."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64
from rich.console import Console
from rich.progress import track

from jgc.detection._types import Examples
from jgc.detection.data._image_examples import (
    LoadedImage,
    check_numbers,
    load_image,
    pad,
)
from jgc.detection.data._source import DetectionSource
from jgc.detection.data._threads import read_in_threads


class LoadedSplit(NamedTuple):
    """N images in memory, ordered by image id.

    Attributes:
        examples: host (NumPy) arrays, to be put on devices by their user.
        image_ids: `examples`' images, in the same order.
        ground_truth: pycocotools' data set (`COCO().dataset`) with every annotation,
            crowds and dropped ones included, on the original images' pixels.
        dropped_objects: annotations that found no slot in `examples`.
        crowded_images: images that had more annotations than slots.
    """

    examples: Examples
    image_ids: Int64[np.ndarray, " N"]
    ground_truth: dict[str, Any]
    dropped_objects: int
    crowded_images: int


def load_split(
    source: DetectionSource,
    *,
    size: int,
    max_objects: int | None = None,
    limit: int | None = None,
    num_threads: int | None = None,
    show_progress: bool | None = None,
) -> LoadedSplit:
    """Loads a split into arrays of fixed shapes; takes N · size² · 3 bytes.

    Args:
        source: the split.
        size: S, the side in pixels to which images are stretched.
        max_objects: most slots of an image; None: the most objects that one of the
            images has, which are never exceeded. An image with more objects keeps
            those of largest area.
        limit: load the first N by image id; None: all.
        num_threads: threads that decode; None: one a core.
        show_progress: draw a bar; None: where stderr is a terminal.

    Raises:
        ValueError: a number is below 1, or an image can't be decoded.
    """
    check_numbers(size=size, max_objects=max_objects, limit=limit)
    count = len(source) if limit is None else min(limit, len(source))
    images = np.empty((count, size, size, 3), np.uint8)
    loaded: list[LoadedImage] = []
    decoded = read_in_threads(
        lambda index: load_image(source, index, size),
        range(count),
        num_threads=num_threads,
    )
    shown = sys.stderr.isatty() if show_progress is None else show_progress
    for one, image in track(
        decoded,
        f"Loading {source.split}",
        total=count,
        console=Console(stderr=True),
        disable=not shown,
    ):
        images[len(loaded)] = image
        loaded.append(one)

    records = [one.record for one in loaded]
    most = max((len(record.label) for record in records), default=0)
    slots = max(1, most if max_objects is None else min(max_objects, most))
    excess = [max(len(record.label) - slots, 0) for record in records]
    return LoadedSplit(
        examples=pad(images, records, slots),
        image_ids=np.array([record.image_id for record in records], np.int64),
        ground_truth=_ground_truth(source, loaded),
        dropped_objects=sum(excess),
        crowded_images=sum(number > 0 for number in excess),
    )


def _ground_truth(
    source: DetectionSource, loaded: Sequence[LoadedImage]
) -> dict[str, Any]:
    annotations = [
        annotation for one in loaded for annotation in _annotations(source, one)
    ]
    # pycocotools takes id 0 for "unmatched" and merges equal ids: number anew then.
    ids = {annotation["id"] for annotation in annotations}
    if len(ids) < len(annotations) or min(ids, default=1) < 1:
        for number, annotation in enumerate(annotations, start=1):
            annotation["id"] = number
    return {
        "info": {"description": f"split {source.split!r} of {source.directory}"},
        "licenses": [],
        "images": [
            {
                "id": one.record.image_id,
                "width": one.width,
                "height": one.height,
                "file_name": one.record.file_name,
            }
            for one in loaded
        ],
        "annotations": annotations,
        "categories": [
            {"id": category_id, "name": name}
            for category_id, name in zip(
                source.category_ids, source.class_names, strict=True
            )
        ],
    }


def _annotations(source: DetectionSource, one: LoadedImage) -> list[dict[str, Any]]:
    record = one.record
    scale = np.array([one.height, one.width, one.height, one.width], np.float64)
    annotations = []
    for slot, (ymin, xmin, ymax, xmax) in enumerate((record.bbox * scale).tolist()):
        annotations.append(
            {
                "id": int(record.annotation_id[slot]),
                "image_id": record.image_id,
                "category_id": source.category_ids[record.label[slot]],
                "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                "area": int(record.area[slot]),
                "iscrowd": int(record.is_crowd[slot]),
            }
        )
    return annotations
