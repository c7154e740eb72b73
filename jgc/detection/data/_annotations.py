"""Reading COCO's instances_*.json into arrays, with its structure checked once.

Train2017's file has 860,000 annotations in 450 MB: it is mapped, not read, and decoded
into the fields that count, so that no dictionaries of all of it are ever in memory.
"""

import json
import math
import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from jaxtyping import Float64, Int8, Int64
from numpy.typing import ArrayLike

from jgc.detection.data._categories import Categories

_MOST_PIXELS = 2**31 - 1
CROWD_UNKNOWN = -1


class Instances(NamedTuple):
    """The annotations of one image, as the file gives them.

    Attributes:
        id: the annotations' ids.
        category_id: COCO's, not labels.
        bbox: x, y, width, height; NaN where the file has no four finite numbers.
        area: pixels² of the object; NaN where the file doesn't say.
        crowd: 1 where the box is drawn around a crowd; `CROWD_UNKNOWN` where the file
            says neither that it is nor that it isn't.
    """

    id: Int64[np.ndarray, " O"]
    category_id: Int64[np.ndarray, " O"]
    bbox: Float64[np.ndarray, "O 4"]
    area: Float64[np.ndarray, " O"]
    crowd: Int8[np.ndarray, " O"]


class ListedImage(NamedTuple):
    """One image with its annotations; width and height in pixels, as listed."""

    id: int
    file_name: str
    width: int
    height: int
    instances: Instances


@dataclass(frozen=True)
class Annotations:
    """An annotation file, image by image in the order of their ids.

    Attributes:
        categories: ordered by category id.
        without_image: image ids that annotations name but the file doesn't list,
            with the number of annotations.
        image_id: of each of the I images.
        file_name: of each.
        size: width and height of each, as listed.
        start: image i has the annotations `start[i]` to `start[i + 1]`.
        instances: of all images.
    """

    categories: Categories
    without_image: Mapping[int, int]
    image_id: Int64[np.ndarray, " I"]
    file_name: Sequence[str]
    size: Int64[np.ndarray, "I 2"]
    start: Int64[np.ndarray, " I+1"]
    instances: Instances

    def __len__(self) -> int:
        return len(self.image_id)

    def __getitem__(self, index: int) -> ListedImage:
        index = range(len(self))[index]
        own = slice(self.start[index], self.start[index + 1])
        width, height = self.size[index].tolist()
        return ListedImage(
            id=int(self.image_id[index]),
            file_name=self.file_name[index],
            width=width,
            height=height,
            instances=Instances(*(column[own] for column in self.instances)),
        )


# What is read of a file; `gc=False`: these never form cycles, and are many.
class _Image(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class _Annotation(msgspec.Struct, gc=False):
    id: int
    image_id: int
    category_id: int
    bbox: msgspec.Raw  # as text: a list of four numbers would take twice the memory
    area: Any = None
    iscrowd: Any = 0


class _Category(msgspec.Struct, gc=False):
    id: int
    name: str


class _File(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def read_annotations(path: Path) -> Annotations:
    """Reads an annotation file of COCO's instances format.

    Args:
        path: a JSON file with "images" (id, file_name, width, height),
            "annotations" (id, image_id, category_id, bbox; optional area, iscrowd)
            and "categories" (id, name); other fields are ignored.

    Raises:
        ValueError: the file isn't such JSON, lists no image or category, holds numbers
            beyond 64 bits, or an image id, category id or category name occurs twice.
    """
    content = _decode(path)
    if not content.images:
        raise ValueError(f"annotation file {path} lists no 'images'")
    if not content.categories:
        raise ValueError(f"annotation file {path} lists no 'categories'")
    columns = _Columns(path)
    categories = _categories(content.categories, columns)
    image_id = columns.int64("images", "id", content.images)
    columns.check_unique("images", "id", image_id)
    size = np.stack(
        [
            columns.pixels(name, columns.int64("images", name, content.images))
            for name in ("width", "height")
        ],
        axis=1,
    )
    order = np.argsort(image_id)
    file_name = [content.images[index].file_name for index in order.tolist()]
    content.images.clear()

    rows = content.annotations
    instances = Instances(
        id=columns.int64("annotations", "id", rows),
        category_id=columns.int64("annotations", "category_id", rows),
        bbox=np.fromiter((_box(row.bbox) for row in rows), (np.float64, 4), len(rows)),
        area=np.fromiter((_number(row.area) for row in rows), np.float64, len(rows)),
        crowd=np.fromiter((_crowd(row.iscrowd) for row in rows), np.int8, len(rows)),
    )
    owner = columns.int64("annotations", "image_id", rows)
    rows.clear()

    image_id = image_id[order]
    is_listed = np.isin(owner, image_id)
    strays, counts = np.unique(owner[~is_listed], return_counts=True)
    kept = np.flatnonzero(is_listed)
    kept = kept[np.argsort(owner[kept], kind="stable")]
    return Annotations(
        categories=categories,
        without_image=dict(zip(strays.tolist(), counts.tolist(), strict=True)),
        image_id=image_id,
        file_name=file_name,
        size=size[order],
        start=np.append(np.searchsorted(owner[kept], image_id), len(kept)),
        instances=Instances(*(column[kept] for column in instances)),
    )


def _decode(path: Path) -> _File:
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # which cannot be mapped
            raise ValueError(f"annotation file {path} is not JSON: it is empty")
        # Not closed: the boxes' text lies in it, and it goes with the last of them.
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return msgspec.json.decode(mapped, type=_File)
    except RecursionError:
        raise ValueError(
            f"annotation file {path} is nested too deeply to be read"
        ) from None
    except msgspec.ValidationError as error:
        if "out of range" not in str(error):
            raise _structure_error(path, error) from None
    except msgspec.DecodeError:
        pass  # Not JSON at all, or with NaN, which Python writes and reads.
    return _decode_loosely(path)


def _decode_loosely(path: Path) -> _File:
    """By Python's reader, which takes NaN and Infinity; slow, and all in memory."""

    def number(text: str) -> float | None:
        return _finite(float(text))

    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, parse_float=number, parse_constant=number)
        cleaned = msgspec.json.encode(content)
    except (ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"annotation file {path} is not JSON: {error}") from None
    try:
        return msgspec.json.decode(cleaned, type=_File)
    except msgspec.ValidationError as error:
        raise _structure_error(path, error) from None


def _structure_error(path: Path, error: msgspec.ValidationError) -> ValueError:
    """Names the place: "Expected `int`, got `str` - at `$.images[0].id`"."""
    return ValueError(
        f"annotation file {path} must hold COCO's 'images', 'annotations' and "
        f"'categories': {error}"
    )


def _categories(rows: list[_Category], columns: "_Columns") -> Categories:
    ids = columns.int64("categories", "id", rows).tolist()
    names = [" ".join(row.name.split()) for row in rows]  # TFDS saves one name a line
    for number, name in enumerate(names):
        columns.require(bool(name), "categories", number, "name", "not be empty", name)
    columns.check_unique("categories", "id", ids)
    columns.check_unique("categories", "name", names)
    rows_by_id = sorted(zip(ids, names, strict=True))
    return Categories(
        names=tuple(name for _, name in rows_by_id),
        ids=tuple(number for number, _ in rows_by_id),
    )


class _Columns:
    """Columns of one file's tables, with errors that name the place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def int64(
        self, table: str, name: str, rows: Sequence[Any]
    ) -> Int64[np.ndarray, " rows"]:
        try:
            return np.fromiter((getattr(r, name) for r in rows), np.int64, len(rows))
        except OverflowError:
            values = [getattr(row, name) for row in rows]
            at = next(i for i, v in enumerate(values) if not -(2**63) <= v < 2**63)
            self.require(False, table, at, name, "fit in 64 bits", values[at])
            raise

    def pixels(
        self, name: str, values: Int64[np.ndarray, " I"]
    ) -> Int64[np.ndarray, " I"]:
        for at in np.flatnonzero((values < 1) | (values > _MOST_PIXELS))[:1].tolist():
            accepted = "be a positive number of pixels"
            self.require(False, "images", at, name, accepted, int(values[at]))
        return values

    def check_unique(self, table: str, name: str, values: ArrayLike) -> None:
        distinct, counts = np.unique(values, return_counts=True)
        repeated = distinct[counts > 1]
        if repeated.size:
            raise ValueError(
                f"{table} in {self._path} must have distinct {name!r}; "
                f"{repeated.size} occur more than once, the first is "
                f"{repeated[0].item()!r}"
            )

    def require(
        self, holds: bool, table: str, at: int, name: str, rule: str, value: Any
    ) -> None:
        if not holds:
            is_long = isinstance(value, int) and value.bit_length() > 64
            shown = f"one of {value.bit_length()} bits" if is_long else repr(value)
            raise ValueError(
                f"{table}[{at}].{name} in {self._path} must {rule}, not {shown}"
            )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _number(value: Any) -> float:
    """`value` as a finite float; NaN where it is none."""
    if type(value) not in (int, float):
        return math.nan
    try:
        return math.nan if _finite(float(value)) is None else float(value)
    except OverflowError:
        return math.nan


_NO_BOX = (math.nan,) * 4
_decode_box = msgspec.json.Decoder(tuple[float, float, float, float]).decode


def _box(text: msgspec.Raw) -> tuple[float, ...]:
    try:
        return _decode_box(text)
    except (msgspec.DecodeError, RecursionError):
        return _NO_BOX


_CROWD = {0: 0, 1: 1, "0": 0, "1": 1, None: 0}  # False is 0, True is 1


def _crowd(value: Any) -> int:
    try:
        return _CROWD.get(value, CROWD_UNKNOWN)
    except TypeError:  # a list or an object
        return CROWD_UNKNOWN
