"""COCO's scores on original coordinates and category ids.

Pycocotools is the reference. Hotcoco gives the same twelve numbers some fifty times
faster: val2017 takes it a second, pycocotools a minute.
"""

import contextlib
import io
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jgc._extras import require
from jgc.detection._types import Detections

# What scorers print is caught by a standard output that is of all threads.
_PRINTING = threading.Lock()


class CocoScores(NamedTuple):
    """COCO's twelve numbers, in its own order, and its text.

    Each is in [0, 1], or −1 where the ground truth has no object to score. `small`
    objects are below 32² pixels of the original image, `large` ones above 96².

    Attributes:
        ap: average precision, mean over IoU 0.50, 0.55, …, 0.95: COCO's mAP.
        ap50: average precision at IoU 0.5.
        ap75: average precision at IoU 0.75.
        ap_small: `ap` over small objects.
        ap_medium: `ap` over medium objects.
        ap_large: `ap` over large objects.
        ar1: average recall with one detection an image.
        ar10: average recall with ten.
        ar100: average recall with a hundred.
        ar_small: `ar100` over small objects.
        ar_medium: `ar100` over medium objects.
        ar_large: `ar100` over large objects.
        summary: the twelve lines that the scorer prints.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    ar1: float
    ar10: float
    ar100: float
    ar_small: float
    ar_medium: float
    ar_large: float
    summary: str


def coco_results(
    detections: Detections,
    image_ids: Sequence[int],
    ground_truth: Mapping[str, Any],
    *,
    category_ids: Sequence[int],
) -> list[dict[str, Any]]:
    """Detections in COCO's result format, boxes in pixels of the original images.

    Args:
        detections: of N images; NumPy arrays or JAX arrays.
        image_ids: COCO's id of each of the N images.
        ground_truth: a dictionary in COCO's annotation format, for the images' sizes.
        category_ids: COCO's category id of each label.

    Returns:
        A dictionary a detection: image_id, category_id, bbox (x, y, width, height),
        score.

    Raises:
        ValueError: there are not as many ids as images, an id is given twice or is
            not in `ground_truth`, or a label has no category id.
    """
    boxes, scores, labels, valid = (np.asarray(field) for field in detections)
    if len(image_ids) != len(boxes):
        raise ValueError(
            f"image_ids has {len(image_ids)} entries for detections on "
            f"{len(boxes)} images; give one for each"
        )
    if len(set(image_ids)) != len(image_ids):
        raise ValueError("image_ids has duplicates; give each image once")
    sizes = {i["id"]: (i["height"], i["width"]) for i in ground_truth["images"]}
    unknown = [i for i in image_ids if i not in sizes]
    if unknown:
        raise ValueError(
            f"image_ids has {unknown[:5]}, not among ground_truth's {len(sizes)} images"
        )
    if valid.any() and labels[valid].max() >= len(category_ids):
        raise ValueError(
            f"detections has label {labels[valid].max()}; category_ids has an id for "
            f"labels 0 to {len(category_ids) - 1}"
        )

    image = np.nonzero(valid)[0]
    size = np.array([sizes[i] for i in image_ids], np.float64).reshape(-1, 2)[image]
    low = boxes[valid][:, :2].astype(np.float64) * size
    high = boxes[valid][:, 2:].astype(np.float64) * size
    columns = (
        image.tolist(),
        labels[valid].tolist(),
        np.concatenate([low, high - low], axis=1)[:, [1, 0, 3, 2]].tolist(),
        scores[valid].tolist(),
    )
    return [
        {
            "image_id": image_ids[image],
            "category_id": int(category_ids[label]),
            "bbox": box,
            "score": score,
        }
        for image, label, box, score in zip(*columns, strict=True)
    ]


def evaluate(
    detections: Detections,
    image_ids: Sequence[int],
    ground_truth: Mapping[str, Any],
    *,
    category_ids: Sequence[int],
    scorer: str = "pycocotools",
) -> CocoScores:
    """Score detections as COCO does; nothing is printed.

    Only the images of `image_ids` count, so a part of a validation set may be scored
    against the whole set's annotations. Crowds are COCO's: detections in them are
    neither right nor wrong.

    Args:
        detections: of N images; NumPy arrays or JAX arrays.
        image_ids: COCO's id of each of the N images.
        ground_truth: a dictionary in COCO's annotation format: "images" with id,
            width and height; "annotations" with id, image_id, category_id, bbox (x,
            y, width, height in pixels), area and iscrowd; "categories" with id. It
            is not changed.
        category_ids: COCO's category id of each label.
        scorer: "pycocotools", or "hotcoco" of the extra `scores`.

    Raises:
        ValueError: see `coco_results`; or there is no such scorer.
        ImportError: the scorer is not installed.
    """
    if scorer not in _SCORERS:
        raise ValueError(f"scorer={scorer!r} must be one of {sorted(_SCORERS)}")
    make_index, make_run = _SCORERS[scorer]()
    image_ids = [int(i) for i in image_ids]
    results = coco_results(
        detections, image_ids, ground_truth, category_ids=category_ids
    )
    with _PRINTING, contextlib.redirect_stdout(io.StringIO()):
        truth = make_index(_data_set(ground_truth, ground_truth["annotations"]))
        # loadRes refuses an empty list; an index of no annotations scores the same.
        # Areas are what loadRes would add, for the scores by size.
        found = [
            result
            | {
                "id": number,
                "area": result["bbox"][2] * result["bbox"][3],
                "iscrowd": 0,
            }
            for number, result in enumerate(results, start=1)
        ]
        run = make_run(truth, make_index(_data_set(ground_truth, found)), "bbox")
        run.params.imgIds = sorted(image_ids)
        run.evaluate()
        run.accumulate()
        with contextlib.redirect_stdout(io.StringIO()) as summary:
            run.summarize()
    return CocoScores._make([*np.asarray(run.stats).tolist(), summary.getvalue()])


def _data_set(
    ground_truth: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A data set of copies, since COCOeval writes into annotations."""
    return {
        "images": list(ground_truth["images"]),
        "categories": list(ground_truth["categories"]),
        "annotations": [dict(annotation) for annotation in annotations],
    }


def _pycocotools() -> tuple[Callable[..., Any], Callable[..., Any]]:
    # By name: an experiment without a score has no need of it.
    coco = require("pycocotools.coco", extra="detection")
    cocoeval = require("pycocotools.cocoeval", extra="detection")

    def index(data_set: dict[str, Any]) -> Any:
        made = coco.COCO()
        made.dataset = data_set
        made.createIndex()
        return made

    return index, cocoeval.COCOeval


def _hotcoco() -> tuple[Callable[..., Any], Callable[..., Any]]:
    hotcoco = require("hotcoco", extra="scores")
    return hotcoco.COCO, hotcoco.COCOeval


# What makes an index of a data set, and what scores one against another.
_SCORERS = {"pycocotools": _pycocotools, "hotcoco": _hotcoco}
