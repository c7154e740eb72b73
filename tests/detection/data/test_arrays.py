import io
import os

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jgc.detection.data import load_split, open_source
from tests.detection.data.helpers import annotation_row, image_row, write_folder

SAMPLE = os.environ.get("JGC_COCO_SAMPLE")


@pytest.fixture
def source(tmp_path):
    annotations = [
        annotation_row(1, 5, [0, 0, 40, 30], area=900, iscrowd=1),
        annotation_row(2, 5, [4, 3, 8, 6], area=48, category_id=9),
        annotation_row(3, 5, [20, 15, 10, 10], area=100),
        annotation_row(4, 3, [1, 1, 2, 2], area=4),
    ]
    images = [image_row(9), image_row(5), image_row(3, width=24)]
    folder = write_folder(tmp_path / "coco", images, annotations)
    return open_source(folder, split="train", cache_dir=tmp_path / "cache")


def test_shapes_types_and_padding(source):
    loaded = load_split(source, size=16, max_objects=4)
    examples = loaded.examples
    assert loaded.image_ids.tolist() == [3, 5, 9]
    assert examples.image.shape == (3, 16, 16, 3)
    assert examples.image.dtype == np.uint8
    assert examples.boxes.shape == (3, 3, 4)  # no image has more than 3 objects
    assert examples.boxes.dtype == np.float32
    assert examples.labels.dtype == np.int32
    np.testing.assert_array_equal(
        examples.valid,
        [[True, False, False], [False, True, True], [False] * 3],
    )
    np.testing.assert_array_equal(
        examples.crowd, [[False] * 3, [True, False, False], [False] * 3]
    )
    np.testing.assert_array_equal(examples.labels[1], [0, 1, 0])
    np.testing.assert_allclose(examples.boxes[1, 1], [0.1, 0.1, 0.3, 0.3], rtol=1e-6)
    assert not examples.boxes[~(examples.valid | examples.crowd)].any()
    assert loaded.dropped_objects == loaded.crowded_images == 0


def test_images_are_stretched_with_antialiasing(source):
    examples = load_split(source, size=16).examples
    image = Image.open(io.BytesIO(source.record(0).encoded))
    assert image.size == (24, 30)
    expected = image.resize((16, 16), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(examples.image[0], np.asarray(expected))


def test_slots_default_to_the_most_objects_and_drop_the_smallest(source):
    assert load_split(source, size=8).examples.labels.shape == (3, 3)
    loaded = load_split(source, size=8, max_objects=2)
    assert loaded.dropped_objects == loaded.crowded_images == 1
    np.testing.assert_array_equal(loaded.examples.crowd[1], [True, False])
    np.testing.assert_array_equal(loaded.examples.labels[1], [0, 0])
    assert len(loaded.ground_truth["annotations"]) == 4  # none is lost for scoring


def test_a_split_without_objects_has_one_empty_slot(tmp_path):
    folder = write_folder(tmp_path / "coco", [image_row(1)], [])
    source = open_source(folder, split="train", cache_dir=tmp_path / "cache")
    assert load_split(source, size=8).examples.boxes.shape == (1, 1, 4)


def test_a_limit_takes_the_first_by_id(source):
    loaded = load_split(source, size=8, limit=2)
    assert loaded.image_ids.tolist() == [3, 5]
    assert [row["id"] for row in loaded.ground_truth["images"]] == [3, 5]
    assert load_split(source, size=8, limit=99).image_ids.tolist() == [3, 5, 9]


def test_loading_is_the_same_whatever_the_threads(source):
    one = load_split(source, size=8, num_threads=1)
    many = load_split(source, size=8, num_threads=7)
    for a, b in zip(one.examples, many.examples, strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.ground_truth == many.ground_truth


def test_a_bar_is_drawn_on_request_alone(source, capfd):
    load_split(source, size=8)
    assert capfd.readouterr() == ("", "")
    load_split(source, size=8, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Loading train" in err


@pytest.mark.parametrize("name", ["size", "max_objects", "limit", "num_threads"])
def test_numbers_below_one_are_refused(source, name):
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        load_split(source, **{"size": 8, name: 0})


def test_an_image_broken_after_preparing_is_named(source, monkeypatch):
    record = source.record(0)._replace(encoded=b"broken")
    monkeypatch.setattr(source, "record", lambda index: record)
    with pytest.raises(ValueError, match=r"'000000000003\.jpg' \(id 3\) .* decoded"):
        load_split(source, size=8)


def as_coco(ground_truth):
    coco = COCO()
    coco.dataset = ground_truth
    coco.createIndex()
    return coco


def perfect_score(ground_truth):
    """Scores the ground truth's own boxes as detections."""
    truth = as_coco(ground_truth)
    found = [
        {**{key: row[key] for key in ("image_id", "category_id", "bbox")}, "score": 1.0}
        for row in ground_truth["annotations"]
        if not row["iscrowd"]
    ]
    scoring = COCOeval(truth, truth.loadRes(found), "bbox")
    scoring.evaluate()
    scoring.accumulate()
    scoring.summarize()
    return scoring.stats[0]


def test_the_ground_truth_is_pycocotools(source):
    ground_truth = load_split(source, size=8, max_objects=1).ground_truth
    assert perfect_score(ground_truth) == pytest.approx(1.0)
    assert ground_truth["images"][0] == {
        "id": 3,
        "width": 24,
        "height": 30,
        "file_name": "000000000003.jpg",
    }
    rows = {row["id"]: row for row in ground_truth["annotations"]}
    assert rows[1]["iscrowd"] == 1
    assert rows[2]["category_id"] == 9
    assert rows[2]["image_id"] == 5
    assert rows[2]["area"] == 48
    np.testing.assert_allclose(rows[2]["bbox"], [4, 3, 8, 6], rtol=1e-5)
    assert ground_truth["categories"] == [
        {"id": 2, "name": "bicycle"},
        {"id": 9, "name": "boat"},
    ]


@pytest.mark.parametrize("ids", [(0, 1), (4, 4), (-1, 3)])
def test_ids_that_pycocotools_gets_wrong_are_numbered_anew(tmp_path, ids):
    annotations = [
        annotation_row(number, 5, [5 * slot, 5, 4, 4])
        for slot, number in enumerate(ids)
    ]
    folder = write_folder(tmp_path / "coco", [image_row(5)], annotations)
    source = open_source(folder, split="train", cache_dir=tmp_path / "cache")
    ground_truth = load_split(source, size=8).ground_truth
    assert [row["id"] for row in ground_truth["annotations"]] == [1, 2]
    assert perfect_score(ground_truth) == pytest.approx(1.0)


@pytest.mark.skipif(SAMPLE is None, reason="JGC_COCO_SAMPLE names no COCO folder")
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_real_sample_comes_back_as_its_annotation_file_has_it(tmp_path, split):
    source = open_source(SAMPLE, split=split, cache_dir=tmp_path)
    assert source.report.issues == {}
    loaded = load_split(source, size=64)
    folder = {"train": "train2017", "validation": "val2017"}[split]
    truth = COCO(f"{SAMPLE}/annotations/instances_{folder}.json")
    assert loaded.image_ids.tolist() == sorted(truth.imgs)
    ours = {row["id"]: row for row in loaded.ground_truth["annotations"]}
    assert ours.keys() == truth.anns.keys()
    for number, row in truth.anns.items():
        for name in ("image_id", "category_id", "iscrowd"):
            assert ours[number][name] == row[name]
        assert ours[number]["area"] == int(row["area"])
        np.testing.assert_allclose(ours[number]["bbox"], row["bbox"], rtol=0, atol=1e-3)
    for row in loaded.ground_truth["images"]:
        listed = truth.imgs[row["id"]]
        assert row == {name: listed[name] for name in row}
    assert perfect_score(loaded.ground_truth) > 0.99
