import copy
import importlib.util
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from jgc.detection import Detections, coco_results, evaluate

pytest.importorskip("pycocotools")

SCORERS = [
    "pycocotools",
    pytest.param(
        "hotcoco",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("hotcoco") is None, reason="needs hotcoco"
        ),
    ),
]
CATEGORIES = (3, 17, 90)  # as COCO's: neither contiguous nor from 0
IMAGES = (42, 7)


@pytest.fixture
def truth():
    boxes = [
        (42, 3, (10, 20, 30, 40), 0),
        (42, 17, (50, 10, 100, 60), 0),
        (7, 90, (0, 0, 120, 110), 0),
        (7, 3, (130, 60, 60, 30), 1),
    ]
    return {
        "images": [
            {"id": 42, "width": 200, "height": 100},
            {"id": 7, "width": 300, "height": 150},
            {"id": 1000, "width": 10, "height": 10},  # not evaluated
        ],
        "categories": [{"id": c, "name": str(c)} for c in CATEGORIES],
        "annotations": [
            {
                "id": number,
                "image_id": image,
                "category_id": category,
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": crowd,
            }
            for number, (image, category, box, crowd) in enumerate(boxes, start=1)
        ],
    }


def _relative(box, width, height):
    x, y, w, h = box
    return [y / height, x / width, (y + h) / height, (x + w) / width]


@pytest.fixture
def perfect():
    boxes = np.zeros((2, 3, 4))
    boxes[0, 0] = _relative((10, 20, 30, 40), 200, 100)
    boxes[0, 1] = _relative((50, 10, 100, 60), 200, 100)
    boxes[1, 0] = _relative((0, 0, 120, 110), 300, 150)
    return Detections(
        boxes=boxes,
        scores=np.array([[0.9, 0.8, 0], [0.7, 0, 0]]),
        labels=np.array([[0, 1, 0], [2, 0, 0]]),
        valid=np.array([[1, 1, 0], [1, 0, 0]], bool),
    )


@pytest.mark.parametrize("scorer", SCORERS)
def test_perfect_detections_score_one(scorer, perfect, truth, capsys):
    before = copy.deepcopy(truth)
    scores = evaluate(perfect, IMAGES, truth, category_ids=CATEGORIES, scorer=scorer)
    assert scores.ap == pytest.approx(1)
    assert scores.ap_medium == pytest.approx(1)
    assert scores.ap_large == pytest.approx(1)
    assert scores.ap_small == -1  # there are none
    assert scores.ar100 == pytest.approx(1)
    assert len(scores.summary.splitlines()) == 12
    assert "Average Precision" in scores.summary
    assert capsys.readouterr().out == ""
    assert truth == before


def test_threads_leave_standard_output_as_it_was(perfect, truth, capsys):
    """Each would catch the output while another has it."""
    before = sys.stdout

    def score(_):
        return evaluate(perfect, IMAGES, truth, category_ids=CATEGORIES).summary

    with ThreadPoolExecutor(4) as pool:
        summaries = list(pool.map(score, range(40)))
    assert sys.stdout is before
    assert capsys.readouterr().out == ""
    assert {len(summary.splitlines()) for summary in summaries} == {12}


def test_results_are_in_pixels_and_categories(perfect, truth):
    results = coco_results(perfect, IMAGES, truth, category_ids=CATEGORIES)
    assert [(r["image_id"], r["category_id"]) for r in results] == [
        (42, 3), (42, 17), (7, 90),
    ]  # fmt: skip
    np.testing.assert_allclose(results[1]["bbox"], (50, 10, 100, 60), atol=1e-4)


@pytest.mark.parametrize("scorer", SCORERS)
def test_no_detections_score_zero(scorer, perfect, truth):
    empty = perfect._replace(valid=np.zeros_like(perfect.valid))
    scores = evaluate(empty, IMAGES, truth, category_ids=CATEGORIES, scorer=scorer)
    assert scores.ap == 0
    assert scores.ar100 == 0
    assert scores.ap_small == -1


@pytest.mark.parametrize("scorer", SCORERS)
def test_nothing_to_find_scores_minus_one(scorer, perfect, truth):
    scores = evaluate(
        perfect,
        IMAGES,
        truth | {"annotations": []},
        category_ids=CATEGORIES,
        scorer=scorer,
    )
    assert scores.ap == -1


@pytest.mark.parametrize("scorer", SCORERS)
def test_detections_in_a_crowd_are_neither_right_nor_wrong(scorer, perfect, truth):
    # Surer than the true one of that category, and in the crowd of the other image.
    perfect.boxes[1, 1] = _relative((140, 65, 20, 20), 300, 150)
    perfect.scores[1, 1] = 0.95
    perfect.valid[1, 1] = True
    scores = evaluate(perfect, IMAGES, truth, category_ids=CATEGORIES, scorer=scorer)
    assert scores.ap == pytest.approx(1)
    truth["annotations"].pop()
    scores = evaluate(perfect, IMAGES, truth, category_ids=CATEGORIES, scorer=scorer)
    assert scores.ap < 0.9


@pytest.mark.parametrize("scorer", SCORERS)
def test_wrong_labels_do_not_count(scorer, perfect, truth):
    wrong = perfect._replace(labels=(perfect.labels + 1) % 3)
    assert (
        evaluate(wrong, IMAGES, truth, category_ids=CATEGORIES, scorer=scorer).ap == 0
    )


@pytest.mark.parametrize(
    ("ids", "categories", "message"),
    [
        ((42,), CATEGORIES, "image_ids has 1"),
        ((42, 42), CATEGORIES, "duplicates"),
        ((42, 8), CATEGORIES, r"image_ids has \[8\]"),
        (IMAGES, (3, 17), "label 2"),
    ],
)
def test_what_does_not_fit_is_named(perfect, truth, ids, categories, message):
    with pytest.raises(ValueError, match=message):
        evaluate(perfect, ids, truth, category_ids=categories)


@pytest.mark.parametrize("scorer", SCORERS[1:])
def test_scorers_agree_in_all_twelve_numbers(scorer):
    rng = np.random.default_rng(4)
    images = [{"id": i, "width": 640, "height": 480} for i in range(1, 61)]
    truth, boxes, labels = [], np.zeros((60, 40, 4)), np.zeros((60, 40), int)
    for index, image in enumerate(images):
        low = rng.uniform(0, 0.6, (8, 2))
        size = np.exp(rng.uniform(-4, -0.7, (8, 2)))  # small, medium and large
        own = rng.integers(0, 3, 8)
        for k in range(rng.integers(0, 9)):
            y, x, h, w = (np.append(low[k], size[k]) * [480, 640, 480, 640]).tolist()
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": image["id"],
                    "category_id": CATEGORIES[own[k]],
                    "bbox": [x, y, w, h],
                    "area": 0.7 * w * h,
                    "iscrowd": int(rng.random() < 0.1),
                }
            )
        # Near some object, of its class more often than not, ties among the scores.
        near = rng.integers(0, 8, 40)
        low = low[near] + rng.normal(0, 0.1, (40, 2)) * size[near]
        boxes[index] = np.concatenate([low, low + size[near]], axis=1)
        labels[index] = np.where(
            rng.random(40) < 0.7, own[near], rng.integers(0, 3, 40)
        )
    detections = Detections(
        boxes=boxes.astype(np.float32),
        scores=rng.integers(1, 50, (60, 40)) / 50,
        labels=labels,
        valid=rng.random((60, 40)) < 0.9,
    )
    arguments = (
        Detections(*(leaf[:50] for leaf in detections)),  # the last ones do not count
        [image["id"] for image in images[:50]],
        {
            "images": images,
            "categories": [{"id": c, "name": str(c)} for c in CATEGORIES],
            "annotations": truth,
        },
    )
    expected = evaluate(*arguments, category_ids=CATEGORIES)
    found = evaluate(*arguments, category_ids=CATEGORIES, scorer=scorer)
    np.testing.assert_allclose(found[:-1], expected[:-1], rtol=0, atol=1e-12)
    assert all(0 < value < 1 for value in expected[:-1])
    assert len(found.summary.splitlines()) == 12


def test_an_unknown_scorer_is_named(perfect, truth):
    with pytest.raises(ValueError, match=r"scorer='fast' must be .*pycocotools"):
        evaluate(perfect, IMAGES, truth, category_ids=CATEGORIES, scorer="fast")
