"""What an annotation file of COCO's size takes to read, and val2017 to score.

    python -m benchmarks.coco_like /tmp/coco-annotations --images 118287 \
        --annotations 860001 --annotations-only
    python -m benchmarks.coco_size \
        /tmp/coco-annotations/annotations/instances_train2017.json

Scores 5,000 images with a hundred detections each, near objects and elsewhere.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.input_path import gigabytes
from benchmarks.machine import describe_machine
from jgc.detection import Detections, evaluate
from jgc.detection.data._annotations import read_annotations

NUM_CLASSES, NUM_DETECTIONS = 80, 100


def detections_and_truth(num_images: int) -> tuple[Detections, dict[str, Any]]:
    """As many objects an image as COCO has; half of the detections are near one."""
    rng = np.random.default_rng(0)
    shape = num_images, NUM_DETECTIONS
    low = rng.uniform(0, 0.7, (*shape, 2))
    boxes = np.concatenate([low, low + np.exp(rng.uniform(-4, -1.2, low.shape))], -1)
    labels = rng.integers(0, NUM_CLASSES, shape)
    is_object = np.arange(NUM_DETECTIONS) < rng.integers(0, 15, num_images)[:, None]
    side = np.array([480, 640, 480, 640])
    annotations = []
    for number, (image, slot) in enumerate(np.argwhere(is_object).tolist(), start=1):
        ymin, xmin, ymax, xmax = (boxes[image, slot] * side).tolist()
        annotations.append(
            {
                "id": number,
                "image_id": image + 1,
                "category_id": int(labels[image, slot]) + 1,
                "bbox": [xmin, ymin, xmax - xmin, ymax - ymin],
                "area": 0.7 * (xmax - xmin) * (ymax - ymin),
                "iscrowd": int(number % 90 == 0),
            }
        )
    truth = {
        "images": [
            {"id": i, "width": 640, "height": 480} for i in range(1, num_images + 1)
        ],
        "categories": [{"id": c, "name": str(c)} for c in range(1, NUM_CLASSES + 1)],
        "annotations": annotations,
    }
    return Detections(
        boxes=boxes + rng.normal(0, 0.01, boxes.shape),
        scores=rng.random(shape),
        labels=np.where(rng.random(shape) < 0.8, labels, (labels + 1) % NUM_CLASSES),
        valid=np.ones(shape, bool),
    ), truth


def timed(name: str, call: Callable[[], Any]) -> Any:
    """The result; prints how long it took, and what the process has held so far."""
    start, busy = time.perf_counter(), time.process_time()
    result = call()
    print(
        f"{name}: {time.perf_counter() - start:.1f} s, "
        f"{time.process_time() - busy:.1f} s of a core; at most {gigabytes():.2f} GiB"
    )
    return result


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("annotations", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=5000, help="to score; 0: none")
    options = parser.parse_args()
    print(describe_machine())
    print(f"imported: {gigabytes():.2f} GiB")
    if options.annotations:
        read = timed("read", lambda: read_annotations(options.annotations))
        print(f"  {len(read)} images, {read.start[-1]} annotations")
    if options.images:
        detections, truth = detections_and_truth(options.images)
        for scorer in ("hotcoco", "pycocotools"):
            if importlib.util.find_spec(scorer) is None:
                continue
            scores = timed(
                f"{scorer}, {options.images} images",
                lambda scorer=scorer: evaluate(
                    detections,
                    range(1, options.images + 1),
                    truth,
                    category_ids=range(1, NUM_CLASSES + 1),
                    scorer=scorer,
                ),
            )
            print("  " + " ".join(f"{value:.6f}" for value in scores[:-1]))


if __name__ == "__main__":
    main()
