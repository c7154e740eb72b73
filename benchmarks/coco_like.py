"""A folder of COCO's size in COCO's layout, quickly drawn, to measure reading it.

    python -m benchmarks.coco_like /tmp/coco-like --images 20000 --annotations 146000

Pictures have COCO's usual sizes and about 155 KB, as COCO's have on average: crops of
one texture of many scales. Annotations carry polygons, which nothing reads and which
make up most of COCO's files: train2017's 860,000 take 470 MB.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZES = ((640, 480), (640, 427), (480, 640), (640, 426), (500, 375), (612, 612))
_TEXTURE = 1600  # pixels of a side


def texture(rng: np.random.Generator) -> Image.Image:
    """Noise of every scale, as pictures have it."""
    total = np.zeros((_TEXTURE, _TEXTURE, 3), np.float32)
    for side, amplitude in ((8, 60), (40, 40), (200, 25), (800, 14), (_TEXTURE, 9)):
        noise = rng.normal(128, amplitude, (side, side, 3)).clip(0, 255)
        layer = Image.fromarray(noise.astype(np.uint8))
        resized = layer.resize((_TEXTURE, _TEXTURE), Image.Resampling.BICUBIC)
        total += np.asarray(resized, np.float32) - 128
    return Image.fromarray((128 + total).clip(0, 255).astype(np.uint8))


def write_images(folder: Path, number: int) -> None:
    """Writes pictures 1 to `number`, those that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    ground = texture(np.random.default_rng(0))
    for image_id in range(1, number + 1):
        path = folder / f"{image_id:012d}.jpg"
        if path.exists():
            continue
        rng = np.random.default_rng(image_id)
        width, height = SIZES[image_id % len(SIZES)]
        left, top = rng.integers(0, [_TEXTURE - width, _TEXTURE - height]).tolist()
        crop = ground.crop((left, top, left + width, top + height))
        crop.save(path, quality=92)


def write_annotations(path: Path, *, images: int, annotations: int) -> None:
    """Writes an instances file, a few entries at a time."""
    rng = np.random.default_rng(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    owners = np.sort(rng.integers(1, images + 1, annotations))
    with path.open("w") as file:
        rows = (
            dict(
                zip(("width", "height"), SIZES[image_id % len(SIZES)], strict=True),
                id=image_id,
                file_name=f"{image_id:012d}.jpg",
                license=1,
                coco_url="-" * 56,
                flickr_url="-" * 60,
                date_captured="2013-11-14 17:02:52",
            )
            for image_id in range(1, images + 1)
        )
        file.write('{"info": {}, "licenses": [], "images": [')
        file.write(", ".join(map(json.dumps, rows)))
        file.write('], "categories": ')
        file.write(json.dumps([{"id": i, "name": f"class {i}"} for i in range(1, 81)]))
        file.write(', "annotations": [')
        for number, image_id in enumerate(owners.tolist()):
            x, y, w, h = (rng.integers(1, 30_000, 4) / 100).tolist()
            points = (rng.integers(0, 60_000, rng.integers(8, 80)) / 100).tolist()
            row = {
                "segmentation": [points],
                "area": round(w * h / 2, 4),
                "iscrowd": int(number % 90 == 0),
                "image_id": image_id,
                "bbox": [x, y, w, h],
                "category_id": number % 80 + 1,
                "id": 100_000 + number,
            }
            file.write((", " if number else "") + json.dumps(row))
        file.write("]}")


def main() -> None:
    """Writes both splits; the validation split is the first 50 pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--annotations", type=int, default=146_000)
    parser.add_argument(
        "--annotations-only", action="store_true", help="name pictures, draw none"
    )
    options = parser.parse_args()
    splits = {
        "train2017": (options.images, options.annotations),
        "val2017": (min(50, options.images), 350),
    }
    for name, (images, annotations) in splits.items():
        write_annotations(
            options.directory / "annotations" / f"instances_{name}.json",
            images=images,
            annotations=annotations,
        )
        folder = options.directory / name
        write_images(folder, 0 if options.annotations_only else images)


if __name__ == "__main__":
    main()
