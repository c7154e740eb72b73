"""What of a COCO folder can be used, in arrays that are kept; images stay in place."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64

from jgc.detection.data._annotations import CROWD_UNKNOWN, Annotations, Instances
from jgc.detection.data._image_check import ImageCheck
from jgc.detection.data._report import SplitReport
from jgc.detection.data._threads import read_in_threads

# COCO rounds to 0.01 pixels: going beyond the border by no more is no defect.
_ROUNDING = 0.01
_MOST_AREA = 2.0**62  # of an annotation: what int64 holds, with room


@dataclass(frozen=True)
class FolderIndex:
    """The usable images of one split by id, and their objects.

    Attributes:
        file_name: of each of the I images, in the split's folder.
        image_id: of each.
        start: image i has the objects `start[i]` to `start[i + 1]`.
        bbox: ymin, xmin, ymax, xmax relative to the image, in [0, 1].
        label: classes, 0 to C − 1.
        area: pixels² of the original image.
        annotation_id: the annotations' ids.
        is_crowd: the box is drawn around a crowd.
    """

    file_name: list[str]
    image_id: Int64[np.ndarray, " I"]
    start: Int64[np.ndarray, " I+1"]
    bbox: Float32[np.ndarray, "M 4"]
    label: Int64[np.ndarray, " M"]
    area: Int64[np.ndarray, " M"]
    annotation_id: Int64[np.ndarray, " M"]
    is_crowd: Bool[np.ndarray, " M"]

    def save(self, path: Path) -> None:
        """Writes an NPZ file."""
        arrays = {n: v for n, v in vars(self).items() if n != "file_name"}
        text = "\0".join(self.file_name).encode()  # which no file's name holds
        np.savez(path, file_name=np.frombuffer(text, np.uint8), **arrays)

    @classmethod
    def load(cls, path: Path) -> "FolderIndex":
        """Reads what `save` wrote."""
        with np.load(path) as arrays:
            columns: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        text = columns.pop("file_name").tobytes().decode()
        return cls(file_name=text.split("\0"), **columns)


def build_index(
    annotations: Annotations,
    folder: Path,
    root: Path,
    *,
    num_threads: int | None = None,
) -> tuple[FolderIndex, SplitReport]:
    """Checks every image file and annotation of a split.

    Args:
        annotations: of the split.
        folder: of its image files.
        root: the data folder, outside of which nothing is read.
        num_threads: threads that decode; None: one a core.

    Returns:
        What can be used, perhaps nothing, and what was left out.
    """
    report = SplitReport()
    for image_id, count in annotations.without_image.items():
        report.note("annotation_without_image", f"image id {image_id}", count=count)
    reasons = np.array(
        list(
            read_in_threads(
                ImageCheck(folder, root).reason, annotations, num_threads=num_threads
            )
        )
    )
    num_objects = np.diff(annotations.start)
    for index in np.flatnonzero(reasons != "").tolist():
        name = annotations.file_name[index]
        report.note(str(reasons[index]), name)
        if num_objects[index]:
            count = int(num_objects[index])
            report.note("annotation_of_skipped_image", name, count=count)

    kept = np.flatnonzero(reasons == "")
    owner = np.repeat(np.arange(len(annotations)), num_objects)
    is_usable, bbox, label, area = _objects(
        annotations, owner, np.isin(owner, kept), _noter(report, annotations, owner)
    )
    owner = owner[is_usable]
    start = np.append(np.searchsorted(owner, kept), len(owner))
    is_crowd = annotations.instances.crowd[is_usable] == 1
    report.images = len(kept)
    report.negatives = int((np.diff(start) == 0).sum())
    report.annotations = len(owner)
    report.crowds = int(is_crowd.sum())
    report.most_objects = int(np.diff(start).max(initial=0))
    found = FolderIndex(
        file_name=[annotations.file_name[i] for i in kept.tolist()],
        image_id=annotations.image_id[kept],
        start=start,
        bbox=bbox[is_usable],
        label=label[is_usable],
        area=area[is_usable],
        annotation_id=annotations.instances.id[is_usable],
        is_crowd=is_crowd,
    )
    return found, report


_Note = Callable[[str, Bool[np.ndarray, " M"]], None]


def _noter(
    report: SplitReport, annotations: Annotations, owner: Int64[np.ndarray, " M"]
) -> _Note:
    """note(reason, mask): counts the annotations of a mask, and names their images."""

    def note(reason: str, mask: Bool[np.ndarray, " M"]) -> None:
        images, counts = np.unique(owner[mask], return_counts=True)
        for image, count in zip(images.tolist(), counts.tolist(), strict=True):
            report.note(reason, annotations.file_name[image], count=count)

    return note


def _objects(
    annotations: Annotations,
    owner: Int64[np.ndarray, " M"],
    is_usable: Bool[np.ndarray, " M"],
    note: _Note,
) -> tuple[
    Bool[np.ndarray, " M"],
    Float32[np.ndarray, "M 4"],
    Int64[np.ndarray, " M"],
    Int64[np.ndarray, " M"],
]:
    """Which annotations can be used, their relative boxes, labels and areas."""
    instances: Instances = annotations.instances

    def skip(reason: str, mask: Bool[np.ndarray, " M"]) -> None:
        nonlocal is_usable
        note(reason, mask & is_usable)
        is_usable = is_usable & ~mask

    ids = np.array(annotations.categories.ids)
    label = np.minimum(np.searchsorted(ids, instances.category_id), len(ids) - 1)
    skip("unknown_category", ids[label] != instances.category_id)
    skip("unknown_crowd", instances.crowd == CROWD_UNKNOWN)
    low, extent = instances.bbox[:, :2], instances.bbox[:, 2:]
    skip("degenerate_box", np.isnan(instances.bbox).any(1) | ~(extent > 0).all(1))
    size = annotations.size[owner].astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # of boxes that are skipped
        high = low + extent
        inner_low, inner_high = np.maximum(low, 0.0), np.minimum(high, size)
        skip("box_outside_image", ~(inner_low < inner_high).all(1))
        cut = np.maximum(inner_low - low, high - inner_high)
        note("clipped_box", (cut > _ROUNDING).any(1) & is_usable)
        inside = (inner_high - inner_low).prod(1)
        is_known = (instances.area >= 0) & (instances.area < _MOST_AREA)
        area = np.where(is_known, instances.area, np.where(is_usable, inside, 0.0))
        corners = np.concatenate([inner_low / size, inner_high / size], axis=1)
    bbox = np.where(is_usable[:, None], corners, 0.0)[:, [1, 0, 3, 2]]
    # coco/2017 cuts the fraction of an area off, too.
    return is_usable, bbox.astype(np.float32), label, area.astype(np.int64)
