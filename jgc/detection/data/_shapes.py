"""The embedded data set: drawn shapes in COCO's own layout.

Small enough to draw in seconds and to learn on a CPU, yet it passes through the same
reader, features and evaluation as COCO: pictures of several sizes, category ids with
gaps, crowds, and pictures without objects.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from jgc._cache import user_cache
from jgc.detection.data._categories import Categories
from jgc.detection.data._coco_layout import COCO_2017_SPLITS
from jgc.detection.data._shape_drawing import CLASS_NAMES, Drawn, draw_picture

#: Of `generate_shapes`; ids with gaps, as COCO's.
SHAPE_CATEGORIES = Categories(names=CLASS_NAMES, ids=(1, 2, 4, 7, 8, 11))
_MOST_OBJECTS = 98  # in a picture, so that annotation ids follow from image ids
# Of shapes, as shares of a picture's shorter side: still seen, and still inside it.
_LEAST_DIAMETER, _MOST_DIAMETER = 0.05, 0.8
_VERSION = 2  # part of the settings: raise it when the pictures change


def generate_shapes(
    directory: str | os.PathLike[str] | None = None,
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    num_train: int = 512,
    num_val: int = 128,
    image_size: int = 128,
    max_objects: int = 6,
    empty_fraction: float = 0.05,
    crowd_fraction: float = 0.05,
    min_diameter: float = 0.1,
    max_diameter: float = 0.6,
    hue_range: float = 1.0,
    seed: int = 0,
) -> Path:
    """Draws the shapes data set; does nothing where it lies there already.

    Picture i of a split depends on `seed`, the split and i alone, so a larger data
    set begins with the smaller one. The folder appears complete or not at all.

    Args:
        directory: the folder to write, in COCO's own layout; its parents are made.
            None: one of `cache_dir` that is named by the settings.
        cache_dir: where shapes of any settings lie; None: `shapes` in $JGC_CACHE, or
            else in the user's cache directory.
        num_train: pictures in the train split, at least 1.
        num_val: pictures in the validation split, at least 1.
        image_size: pixels of a picture's longer side, at least 32; the shorter one
            is 3/4 of it or more.
        max_objects: most shapes in a picture, 1 to 98.
        empty_fraction: share of pictures without any object, in [0, 1].
        crowd_fraction: share of pictures with a crowd besides, in [0, 1].
        min_diameter: of a shape, as a share of the picture's shorter side, in
            [0.05, 0.8].
        max_diameter: from `min_diameter` to 0.8; small ones are as likely as large
            ones, in octaves.
        hue_range: of a class's colours around the class's own, in [0, 1]; 1: any, so
            that its outline alone tells a class.
        seed: 0 or more.

    Returns:
        The folder, for `open_source`.

    Raises:
        ValueError: an argument is out of range, or `directory` holds something
            else: shapes of other settings, or other files.
    """
    settings = {
        "version": _VERSION,
        "num_train": num_train,
        "num_val": num_val,
        "image_size": image_size,
        "max_objects": max_objects,
        "empty_fraction": empty_fraction,
        "crowd_fraction": crowd_fraction,
        "min_diameter": min_diameter,
        "max_diameter": max_diameter,
        "hue_range": hue_range,
        "seed": seed,
    }
    _check(settings)
    if directory is None:
        cache = user_cache() / "shapes" if cache_dir is None else Path(cache_dir)
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        directory = cache / digest.hexdigest()[:16]
    target = Path(directory).expanduser().absolute()
    if _holds(target, settings):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        draft = work / target.name
        numbers = {"train": num_train, "validation": num_val}
        for stream, (split, number) in enumerate(numbers.items()):
            _write_split(draft, split, number, stream, settings)
        try:
            draft.rename(target)
        except OSError:  # another process was faster
            if not _holds(target, settings):
                raise
    finally:
        shutil.rmtree(work)
    return target


def _check(settings: dict[str, Any]) -> None:
    least = {"num_train": 1, "num_val": 1, "image_size": 32, "max_objects": 1}
    for name, lowest in {**least, "seed": 0}.items():
        if settings[name] < lowest:
            raise ValueError(f"{name}={settings[name]} must be at least {lowest}")
    if settings["max_objects"] > _MOST_OBJECTS:
        raise ValueError(
            f"max_objects={settings['max_objects']} must be at most {_MOST_OBJECTS}"
        )
    for name in ("empty_fraction", "crowd_fraction", "hue_range"):
        if not 0 <= settings[name] <= 1:
            raise ValueError(f"{name}={settings[name]} must lie in [0, 1]")
    for name, lowest in {
        "min_diameter": _LEAST_DIAMETER,
        "max_diameter": settings["min_diameter"],
    }.items():
        if not lowest <= settings[name] <= _MOST_DIAMETER:
            raise ValueError(
                f"{name}={settings[name]} must lie in [{lowest}, {_MOST_DIAMETER}]"
            )


def _holds(target: Path, settings: dict[str, Any]) -> bool:
    """Returns whether target holds these shapes; raises if it holds anything else."""
    if not target.exists():
        return False
    if target.is_dir() and not any(target.iterdir()):
        return False
    try:
        path = target / COCO_2017_SPLITS["train"].annotations
        found = json.loads(path.read_text())["info"]["shapes"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(
            f"directory={os.fspath(target)!r} must be new, empty or hold the shapes "
            "data set; it holds something else"
        ) from None
    changed = {
        name: (found.get(name), value)
        for name, value in settings.items()
        if found.get(name) != value
    }
    if changed:
        raise ValueError(
            f"directory={os.fspath(target)!r} holds shapes of other settings "
            f"(there, asked): {changed}; choose another directory or remove it"
        )
    return True


def _write_split(
    root: Path, split: str, number: int, stream: int, settings: dict[str, Any]
) -> None:
    where = COCO_2017_SPLITS[split]
    folder = root / where.images
    folder.mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(number):
        rng = np.random.default_rng([settings["seed"], stream, index])
        empty = rng.random() < settings["empty_fraction"]
        crowd = rng.random() < settings["crowd_fraction"]
        sides = settings["image_size"] * np.array([1.0, rng.uniform(0.75, 1.0)])
        width, height = rng.permutation(np.rint(sides).astype(int)).tolist()
        pixels, objects = draw_picture(
            rng,
            width=width,
            height=height,
            num_objects=0 if empty else int(rng.integers(settings["max_objects"])) + 1,
            diameters=(settings["min_diameter"], settings["max_diameter"]),
            hue_range=settings["hue_range"],
            crowd=crowd and not empty,
        )
        image_id = 2 * index + 1 + stream  # odd to train on, even to validate
        file_name = f"{image_id:012d}.jpg"
        Image.fromarray(pixels).save(folder / file_name, quality=92)
        images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "width": width,
                "height": height,
                "license": 1,
            }
        )
        annotations += [
            _annotation(drawn, image_id=image_id, number=number)
            for number, drawn in enumerate(objects, start=1)
        ]
    path = root / where.annotations
    path.parent.mkdir(exist_ok=True)
    content = {
        "info": {
            "description": "Drawn shapes in COCO's layout, generated by jgc",
            "version": "1.0",
            "shapes": settings,
        },
        "licenses": [
            {
                "id": 1,
                "name": "CC0 1.0",
                "url": "https://creativecommons.org/publicdomain/zero/1.0/",
            }
        ],
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": category_id, "name": name, "supercategory": "shape"}
            for category_id, name in zip(
                SHAPE_CATEGORIES.ids, SHAPE_CATEGORIES.names, strict=True
            )
        ],
    }
    path.write_text(json.dumps(content))


def _annotation(drawn: Drawn, *, image_id: int, number: int) -> dict[str, Any]:
    rows = np.flatnonzero(drawn.mask.any(axis=1))
    columns = np.flatnonzero(drawn.mask.any(axis=0))
    top, left = int(rows[0]), int(columns[0])
    return {
        "id": image_id * (_MOST_OBJECTS + 2) + number,  # with a crowd at most 99
        "image_id": image_id,
        "category_id": SHAPE_CATEGORIES.ids[drawn.label],
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(drawn.mask.sum()),
        "iscrowd": int(drawn.crowd),
        "segmentation": {
            "size": list(drawn.mask.shape),
            "counts": _run_lengths(drawn.mask),
        },
    }


def _run_lengths(mask: Bool[np.ndarray, "H W"]) -> list[int]:
    """COCO's uncompressed run lengths: down the columns, the first run unset."""
    flat = mask.ravel(order="F")
    borders = np.flatnonzero(np.diff(flat)) + 1
    if flat[0]:
        borders = np.concatenate([[0], borders])
    return np.diff(borders, prepend=0, append=flat.size).tolist()
