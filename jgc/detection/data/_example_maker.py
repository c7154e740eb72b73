"""From a listed image to a TFDS example, with every defect counted."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from jgc.detection.data._annotations import Instance, ListedImage
from jgc.detection.data._categories import Categories
from jgc.detection.data._images import DECODE_ERRORS, decode_image
from jgc.detection.data._report import SplitReport

# COCO rounds to 0.01 pixels: going beyond the border by no more is no defect.
_ROUNDING = 0.01


class ExampleMaker:
    """Makes one split's examples and fills its report.

    Args:
        folder: of the image files.
        categories: the classes, in the order of their labels.
        report: counts are added to it.
    """

    def __init__(
        self, folder: Path, categories: Categories, report: SplitReport
    ) -> None:
        self._folder = folder
        self._name_of = dict(zip(categories.ids, categories.names, strict=True))
        self._report = report

    def read(self, listed: ListedImage) -> tuple[ListedImage, bytes | str]:
        """Reads and verifies one image file; safe to call from many threads.

        Returns:
            `listed` with the file's bytes, or with the reason to skip the image.
        """
        try:
            encoded = (self._folder / listed.file_name).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return listed, "missing_image"
        try:
            size = decode_image(encoded).size
        except DECODE_ERRORS:
            return listed, "corrupt_image"
        if size != (listed.width, listed.height):
            return listed, "size_mismatch"
        return listed, encoded

    def make(self, listed: ListedImage, encoded: bytes | str) -> dict[str, Any] | None:
        """Returns the example of what `read` returned, or None if it is skipped."""
        report = self._report
        if isinstance(encoded, str):
            report.note(encoded, listed.file_name)
            if lost := len(listed.instances):
                report.note("annotation_of_skipped_image", listed.file_name, count=lost)
            return None
        objects = [
            made
            for instance in listed.instances
            if (made := self._object(instance, listed)) is not None
        ]
        report.images += 1
        report.negatives += not objects
        report.annotations += len(objects)
        report.crowds += sum(made["is_crowd"] for made in objects)
        return {
            "image": io.BytesIO(encoded),
            "image/filename": listed.file_name,
            "image/id": listed.id,
            "objects": objects,
        }

    def _object(self, instance: Instance, listed: ListedImage) -> dict[str, Any] | None:
        note = self._report.note
        if instance.category_id not in self._name_of:
            note("unknown_category", listed.file_name)
            return None
        if not _is_box(instance.bbox):
            note("degenerate_box", listed.file_name)
            return None
        x, y, width, height = map(float, instance.bbox)
        xmin, xmax = max(x, 0.0), min(x + width, float(listed.width))
        ymin, ymax = max(y, 0.0), min(y + height, float(listed.height))
        if xmin >= xmax or ymin >= ymax:
            note("box_outside_image", listed.file_name)
            return None
        clipped = max(xmin - x, x + width - xmax, ymin - y, y + height - ymax)
        if clipped > _ROUNDING:
            note("clipped_box", listed.file_name)
        area = instance.area
        if area is None:
            area = (xmax - xmin) * (ymax - ymin)
        return {
            "area": int(area),  # coco/2017 cuts the fraction off, too
            "bbox": tfds.features.BBox(
                ymin=ymin / listed.height,
                xmin=xmin / listed.width,
                ymax=ymax / listed.height,
                xmax=xmax / listed.width,
            ),
            "id": instance.id,
            "is_crowd": instance.crowd,
            "label": self._name_of[instance.category_id],
        }


def _is_box(bbox: Any) -> bool:
    """Returns whether bbox is x, y, width, height of a box with an inside."""
    if not isinstance(bbox, Sequence) or len(bbox) != 4:
        return False
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in bbox):
        return False
    return bbox[2] > 0 and bbox[3] > 0
