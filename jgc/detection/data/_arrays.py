"""A split as arrays in memory, and as pycocotools' ground truth."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from rich.console import Console
from rich.progress import track

from jgc.detection._types import Examples
from jgc.detection.data._images import DECODE_ERRORS, decode_image, resize_to_square
from jgc.detection.data._pool import default_threads, map_in_order
from jgc.detection.data._source import DetectionSource, Record


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
        max_objects: M, the slots of an image; None: the most that an image has.
            An image with more keeps the M of largest area.
        limit: load the first N by image id; None: all.
        num_threads: threads that decode; None: one a core.
        show_progress: draw a bar; None: where stderr is a terminal.

    Raises:
        ValueError: a number is below 1, or an image can't be decoded.
    """
    numbers = {"size": size, "max_objects": max_objects, "limit": limit}
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
    count = len(source) if limit is None else min(limit, len(source))
    images = np.empty((count, size, size, 3), np.uint8)
    loaded: list[LoadedImage] = []
    decoded = map_in_order(
        lambda index: load_image(source, index, size),
        range(count),
        num_threads=default_threads() if num_threads is None else num_threads,
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
    slots = max(most, 1) if max_objects is None else max_objects
    excess = [max(len(record.label) - slots, 0) for record in records]
    return LoadedSplit(
        examples=pad(images, records, slots),
        image_ids=np.array([record.image_id for record in records], np.int64),
        ground_truth=_ground_truth(source, loaded),
        dropped_objects=sum(excess),
        crowded_images=sum(number > 0 for number in excess),
    )


class LoadedImage(NamedTuple):
    """An example without its image, whose size in pixels it keeps."""

    record: Record
    width: int
    height: int


def load_image(
    source: DetectionSource, index: int, size: int
) -> tuple[LoadedImage, UInt8[np.ndarray, "S S 3"]]:
    """Reads an example, decodes its image and stretches it to size × size pixels.

    Raises:
        ValueError: the image can't be decoded.
    """
    record = source.record(index)
    try:
        image = decode_image(record.encoded)
    except DECODE_ERRORS as error:  # a data set that our builder hasn't verified
        raise ValueError(
            f"image {record.file_name!r} (id {record.image_id}) in {source.directory} "
            f"can't be decoded: {error}"
        ) from error
    loaded = LoadedImage(record._replace(encoded=b""), image.width, image.height)
    return loaded, resize_to_square(image, size=size)


def pad(
    images: UInt8[np.ndarray, "N S S 3"], records: Sequence[Record], slots: int
) -> Examples:
    """The examples of images and their records, the objects in `slots` slots."""
    shape = len(records), slots
    arrays: dict[str, Any] = {  # NumPy's where the type has JAX's: still on the host
        "image": images,
        "boxes": np.zeros((*shape, 4), np.float32),
        "labels": np.zeros(shape, np.int32),
        "valid": np.zeros(shape, np.bool_),
        "crowd": np.zeros(shape, np.bool_),
    }
    for row, record in enumerate(records):
        kept = np.sort(np.argsort(-record.area, kind="stable")[:slots])
        used = slice(len(kept))
        arrays["boxes"][row, used] = record.bbox[kept]
        arrays["labels"][row, used] = record.label[kept]
        arrays["valid"][row, used] = ~record.is_crowd[kept]
        arrays["crowd"][row, used] = record.is_crowd[kept]
    return Examples(**arrays)


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
