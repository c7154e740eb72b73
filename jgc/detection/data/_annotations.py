"""Reading COCO's instances_*.json, with its structure checked once."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jgc.detection.data._categories import Categories


class Instance(NamedTuple):
    """One annotation, as the file gives it.

    Attributes:
        id: the annotation's id.
        category_id: COCO's, not a label.
        bbox: whatever the file has under "bbox", not checked yet.
        area: pixels² of the object; None where the file doesn't say.
        crowd: the box is drawn around a crowd.
    """

    id: int
    category_id: int
    bbox: Any
    area: float | None
    crowd: bool


class ListedImage(NamedTuple):
    """One image with its annotations; width and height in pixels, as listed."""

    id: int
    file_name: str
    width: int
    height: int
    instances: Sequence[Instance]


@dataclass(frozen=True)
class Annotations:
    """An annotation file.

    Attributes:
        images: ordered by image id.
        categories: ordered by category id.
        without_image: image ids that annotations name but the file doesn't list,
            with the number of annotations.
    """

    images: Sequence[ListedImage]
    categories: Categories
    without_image: Mapping[int, int]


def read_annotations(path: Path) -> Annotations:
    """Reads an annotation file of COCO's instances format.

    Args:
        path: a JSON file with "images" (id, file_name, width, height),
            "annotations" (id, image_id, category_id, bbox; optional area, iscrowd)
            and "categories" (id, name); other fields are ignored.

    Raises:
        ValueError: the file isn't such JSON, lists no image or category, or an
            image id, category id or category name occurs twice.
    """
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file)
    except ValueError as error:  # malformed JSON or UTF-8
        raise ValueError(f"annotation file {path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f"annotation file {path} must hold a JSON object with 'images', "
            f"'annotations' and 'categories', not a {type(content).__name__}"
        )
    read = _Reader(path, content)
    images = read.rows("images", {"id": int, "file_name": str})
    categories = read.rows("categories", {"id": int, "name": str})
    fields = {"id": int, "image_id": int, "category_id": int, "bbox": object}
    annotations = read.rows("annotations", fields)
    if not images:
        raise ValueError(f"annotation file {path} lists no 'images'")
    if not categories:
        raise ValueError(f"annotation file {path} lists no 'categories'")
    for number, row in enumerate(categories):
        row["name"] = " ".join(row["name"].split())  # TFDS saves one name a line
        if not row["name"]:
            raise ValueError(
                f"categories[{number}]['name'] in {path} must not be empty"
            )
    read.check_unique("images", "id")
    read.check_unique("categories", "id")
    read.check_unique("categories", "name")
    read.check_sizes(images)

    instances: defaultdict[int, list[Instance]] = defaultdict(list)
    for row in annotations:
        instances[row["image_id"]].append(_instance(row))
    categories = sorted(categories, key=lambda row: row["id"])
    listed = [
        ListedImage(
            id=row["id"],
            file_name=row["file_name"],
            width=row["width"],
            height=row["height"],
            instances=instances.pop(row["id"], []),
        )
        for row in sorted(images, key=lambda row: row["id"])
    ]
    return Annotations(
        images=listed,
        categories=Categories(
            names=tuple(row["name"] for row in categories),
            ids=tuple(row["id"] for row in categories),
        ),
        without_image={image: len(rows) for image, rows in instances.items()},
    )


def _instance(row: Mapping[str, Any]) -> Instance:
    area = row.get("area")
    known = isinstance(area, int | float) and math.isfinite(area)
    return Instance(
        id=row["id"],
        category_id=row["category_id"],
        bbox=row["bbox"],
        area=area if known else None,
        crowd=bool(row.get("iscrowd", 0)),
    )


class _Reader:
    """Checks the tables of one file, naming the place of what is wrong."""

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self._path = path
        self._content = content

    def rows(self, table: str, fields: Mapping[str, type]) -> list[dict[str, Any]]:
        rows = self._content.get(table)
        if not isinstance(rows, list):
            raise ValueError(
                f"annotation file {self._path} must have a list {table!r}; "
                f"its keys are {sorted(self._content)}"
            )
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise ValueError(
                    f"{table}[{number}] in {self._path} must be an object, not {row!r}"
                )
            for name, kind in fields.items():
                if name not in row or not isinstance(row[name], kind):
                    raise ValueError(
                        f"{table}[{number}][{name!r}] in {self._path} must be "
                        f"{_KINDS[kind]}, not {row.get(name)!r}"
                    )
        return rows

    def check_unique(self, table: str, name: str) -> None:
        counts = Counter(row[name] for row in self._content[table])
        repeated = [value for value, count in counts.items() if count > 1]
        if repeated:
            raise ValueError(
                f"{table} in {self._path} must have distinct {name!r}; "
                f"{len(repeated)} occur more than once, the first is {repeated[0]!r}"
            )

    def check_sizes(self, images: Sequence[Mapping[str, Any]]) -> None:
        for number, row in enumerate(images):
            for name in ("width", "height"):
                value = row.get(name)
                if not isinstance(value, int) or value < 1:
                    raise ValueError(
                        f"images[{number}][{name!r}] in {self._path} must be a "
                        f"positive number of pixels, not {value!r}"
                    )


_KINDS = {int: "an integer", str: "a string", object: "given"}
