"""From a listed image to a TFDS example, with every defect counted."""

import errno
import io
import math
import stat
from pathlib import Path, PurePath
from typing import Any

import tensorflow_datasets as tfds

from jgc.detection.data._annotations import CROWD_UNKNOWN, ListedImage
from jgc.detection.data._categories import Categories
from jgc.detection.data._images import DECODE_ERRORS, decode_image
from jgc.detection.data._report import SplitReport

# COCO rounds to 0.01 pixels: going beyond the border by no more is no defect.
_ROUNDING = 0.01
_MOST_AREA = 2.0**62  # of an annotation: what int64 holds, with room
# What is wrong with one file or its name alone; others, such as too many open files,
# would make every image look broken.
_OF_ONE_FILE = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EIO}


class ExampleMaker:
    """Makes one split's examples and fills its report.

    Args:
        folder: of the image files.
        root: the data folder; no file outside of it and of `folder` is read.
        categories: the classes, in the order of their labels.
        report: counts are added to it.
    """

    def __init__(
        self, folder: Path, root: Path, categories: Categories, report: SplitReport
    ) -> None:
        self._folder = folder
        self._accepted = (folder.resolve(), root.resolve())
        self._name_of = dict(zip(categories.ids, categories.names, strict=True))
        self._report = report

    def read(self, listed: ListedImage) -> tuple[ListedImage, bytes | str]:
        """Reads and verifies one image file; safe to call from many threads.

        Returns:
            `listed` with the file's bytes, or with the reason to skip the image.
        """
        encoded = self._bytes(listed.file_name)
        if isinstance(encoded, str):
            return listed, encoded
        try:
            size = decode_image(encoded).size
        except DECODE_ERRORS:
            return listed, "corrupt_image"
        if size != (listed.width, listed.height):
            return listed, "size_mismatch"
        return listed, encoded

    def _bytes(self, file_name: str) -> bytes | str:
        """The file's content, or the reason why it is not to be had."""
        name = PurePath(file_name)
        if name.is_absolute() or ".." in name.parts:
            return "outside_folder"
        try:
            path = (self._folder / name).resolve()
            if not any(path.is_relative_to(folder) for folder in self._accepted):
                return "outside_folder"  # through a link
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
                return "missing_image"
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return "missing_image"
        except (ValueError, RuntimeError):  # NUL, half a character; links in a circle
            return "unreadable_image"
        except OSError as error:
            if error.errno not in _OF_ONE_FILE:
                raise
            return "unreadable_image"

    def make(self, listed: ListedImage, encoded: bytes | str) -> dict[str, Any] | None:
        """Returns the example of what `read` returned, or None if it is skipped."""
        report = self._report
        if isinstance(encoded, str):
            report.note(encoded, listed.file_name)
            if lost := len(listed.instances.id):
                report.note("annotation_of_skipped_image", listed.file_name, count=lost)
            return None
        objects = [
            made
            for number in range(len(listed.instances.id))
            if (made := self._object(listed, number)) is not None
        ]
        report.images += 1
        report.negatives += not objects
        report.annotations += len(objects)
        report.crowds += sum(made["is_crowd"] for made in objects)
        report.most_objects = max(report.most_objects, len(objects))
        return {
            "image": io.BytesIO(encoded),
            "image/filename": listed.file_name,
            "image/id": listed.id,
            "objects": objects,
        }

    def _object(self, listed: ListedImage, number: int) -> dict[str, Any] | None:
        note = self._report.note
        annotation_id, category_id, bbox, area, crowd = (
            column[number].tolist() for column in listed.instances
        )
        if category_id not in self._name_of:
            note("unknown_category", listed.file_name)
            return None
        if crowd == CROWD_UNKNOWN:
            note("unknown_crowd", listed.file_name)
            return None
        x, y, width, height = bbox
        if any(map(math.isnan, bbox)) or width <= 0 or height <= 0:
            note("degenerate_box", listed.file_name)
            return None
        xmin, xmax = max(x, 0.0), min(x + width, float(listed.width))
        ymin, ymax = max(y, 0.0), min(y + height, float(listed.height))
        if xmin >= xmax or ymin >= ymax:
            note("box_outside_image", listed.file_name)
            return None
        clipped = max(xmin - x, x + width - xmax, ymin - y, y + height - ymax)
        if clipped > _ROUNDING:
            note("clipped_box", listed.file_name)
        if not 0 <= area < _MOST_AREA:  # nor NaN
            area = (xmax - xmin) * (ymax - ymin)
        return {
            "area": int(area),  # coco/2017 cuts the fraction off, too
            "bbox": tfds.features.BBox(
                ymin=ymin / listed.height,
                xmin=xmin / listed.width,
                ymax=ymax / listed.height,
                xmax=xmax / listed.width,
            ),
            "id": annotation_id,
            "is_crowd": bool(crowd),
            "label": self._name_of[category_id],
        }
