"""Small folders in COCO's layout, with whatever is wrong with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CATEGORIES = [
    {"id": 9, "name": "boat", "supercategory": "vehicle"},
    {"id": 2, "name": "bicycle", "supercategory": "vehicle"},
]


def image_row(image_id: int, *, width: int = 40, height: int = 30) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": f"{image_id:012d}.jpg",
        "width": width,
        "height": height,
    }


def annotation_row(
    annotation_id: int, image_id: int, bbox: Any, **fields: Any
) -> dict[str, Any]:
    row = {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": 2,
        "bbox": bbox,
        "area": 100.7,
        "iscrowd": 0,
    }
    return {**row, **fields}


def write_split(
    root: Path,
    folder: str,
    images: list[dict[str, Any]],
    annotations: list[dict[str, Any]],
    *,
    categories: list[dict[str, Any]] = CATEGORIES,
) -> None:
    """Writes a noise image for each row that names one, and the annotation file."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    for row in images:
        shape = row["height"], row["width"], 3
        pixels = np.random.default_rng(row["id"]).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(root / folder / row["file_name"])
    content = {
        "info": {},
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    path = root / "annotations" / f"instances_{folder}.json"
    path.write_text(json.dumps(content))


def write_folder(
    root: Path,
    images: list[dict[str, Any]] | None = None,
    annotations: list[dict[str, Any]] | None = None,
    **fields: Any,
) -> Path:
    """Writes both splits; what is given goes to train, validation is one image."""
    if images is None:
        images = [image_row(5), image_row(3, width=33), image_row(11)]
    if annotations is None:
        annotations = [
            annotation_row(1, 5, [1.5, 2.25, 20.0, 10.5]),
            annotation_row(2, 5, [10, 10, 5, 5], category_id=9),
            annotation_row(3, 3, [0, 0, 33, 30], iscrowd=1),
        ]
    write_split(root, "train2017", images, annotations, **fields)
    write_split(
        root,
        "val2017",
        [image_row(20)],
        [annotation_row(9, 20, [1, 2, 3, 4])],
        **fields,
    )
    return root


def edit_annotations(root: Path, change: Any, *, folder: str = "train2017") -> None:
    """Rewrites an annotation file as change(content)."""
    path = root / "annotations" / f"instances_{folder}.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
