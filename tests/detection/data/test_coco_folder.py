import logging
import re
import sys

import numpy as np
import pytest
from PIL import Image

from jgc.detection.data import (
    COCO_2017_SPLITS,
    REASONS,
    CocoSplit,
    _coco_folder,
    open_source,
)
from jgc.detection.data._coco_folder import prepare_folder
from jgc.detection.data._coco_layout import check_layout
from jgc.detection.data._folder_index import build_index
from tests.detection.data.helpers import (
    annotation_row,
    edit_annotations,
    image_row,
    write_folder,
)


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "coco")


def open_train(folder, tmp_path):
    return open_source(folder, split="train", cache_dir=tmp_path / "cache")


def test_a_folder_is_read_without_tensorflow(folder, tmp_path, caplog):
    source = open_train(folder, tmp_path)
    assert "tensorflow" not in sys.modules
    assert len(source) == 3
    assert source.class_names == ("bicycle", "boat")
    assert source.category_ids == (2, 9)
    assert [example["image/id"] for example in source] == [3, 5, 11]
    example = source[1]
    assert example["image"].shape == (30, 40, 3)
    assert example["image/filename"] == "000000000005.jpg"
    objects = example["objects"]
    np.testing.assert_array_equal(objects["id"], [1, 2])
    np.testing.assert_array_equal(objects["label"], [0, 1])
    np.testing.assert_array_equal(objects["area"], [100, 100])
    np.testing.assert_array_equal(source[0]["objects"]["is_crowd"], [True])
    assert source.report.images == 3
    assert source.report.negatives == 1
    assert source.report.annotations == 3
    assert source.report.crowds == 1
    assert source.report.issues == {}
    assert not caplog.records


def test_image_files_are_read_as_they_are(folder, tmp_path):
    stored = open_train(folder, tmp_path).record(1).encoded
    assert stored == (folder / "train2017" / "000000000005.jpg").read_bytes()


def test_boxes_come_back_to_a_thousandth_of_a_pixel(tmp_path):
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, [[[640.0], [427.0]]], (200, 2, 2)), axis=2)
    boxes = [[*box[:, 0], *(box[:, 1] - box[:, 0])] for box in corners.round(2)]
    folder = write_folder(
        tmp_path / "coco",
        [image_row(1, width=640, height=427)],
        [annotation_row(i + 1, 1, box) for i, box in enumerate(boxes)],
    )
    ymin, xmin, ymax, xmax = open_train(folder, tmp_path)[0]["objects"]["bbox"].T
    back = np.stack([xmin * 640, ymin * 427, (xmax - xmin) * 640, (ymax - ymin) * 427])
    np.testing.assert_allclose(back.T, boxes, rtol=0, atol=1e-3)


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA"])
def test_every_colour_mode_comes_back_as_rgb(tmp_path, mode):
    row = {**image_row(1), "file_name": "odd.png" if mode in "PRGBA" else "odd.jpg"}
    folder = write_folder(tmp_path / "coco", [row], [])
    Image.new("RGB", (40, 30), (200, 40, 40)).convert(mode).save(
        folder / "train2017" / row["file_name"]
    )
    assert open_train(folder, tmp_path)[0]["image"].shape == (30, 40, 3)


def prepare(folder, cache, **options):
    return prepare_folder(folder, COCO_2017_SPLITS, cache_dir=cache, **options)


def test_what_was_found_is_reused_and_a_change_is_found(folder, tmp_path):
    cache = tmp_path / "cache"
    first = prepare(folder, cache)
    written = first.stat().st_mtime_ns
    assert prepare(folder, cache) == first
    assert first.stat().st_mtime_ns == written
    assert not list(cache.rglob("*.jpg"))  # no image is copied

    edit_annotations(folder, lambda content: {**content, "annotations": []})
    changed = prepare(folder, cache)
    assert changed != first

    (folder / "train2017" / "000000000011.jpg").unlink()
    fewer = prepare(folder, cache)
    assert fewer not in (first, changed)

    moved = write_folder(tmp_path / "elsewhere" / "coco")
    assert prepare(moved, cache) != first
    assert len(list(cache.iterdir())) == 4  # and no drafts


def test_it_is_kept_in_the_users_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("JGC_CACHE", str(tmp_path / "own"))
    assert prepare(folder, None).parent == tmp_path / "own" / "data"
    monkeypatch.delenv("JGC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert prepare(folder, None).parent == tmp_path / "xdg" / "jgc" / "data"


def test_losing_a_race_uses_the_winners_data(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"

    def lose(*arguments, **options):
        monkeypatch.setattr(_coco_folder, "build_index", build_index)
        prepare(folder, cache)
        return build_index(*arguments, **options)

    monkeypatch.setattr(_coco_folder, "build_index", lose)
    assert len(open_train(folder, tmp_path)) == 3
    assert len(list(cache.iterdir())) == 1


def test_an_image_that_is_gone_since_is_named(folder, tmp_path):
    source = open_train(folder, tmp_path)
    (folder / "train2017" / "000000000005.jpg").unlink()
    with pytest.raises(ValueError, match=r"'000000000005\.jpg' .*read any more"):
        source[1]


def test_it_is_quiet(folder, tmp_path, capfd):
    open_train(folder, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_splits_may_lie_elsewhere(folder, tmp_path):
    (folder / "val2017").rename(folder / "pictures")
    (folder / "annotations" / "instances_val2017.json").rename(folder / "boxes.json")
    source = open_source(
        folder,
        split="test",
        cache_dir=tmp_path / "cache",
        splits={"test": CocoSplit("pictures", "boxes.json")},
    )
    assert len(source) == 1


def test_what_cannot_be_used_is_skipped_counted_and_warned_of(tmp_path, caplog):
    images = [image_row(image_id) for image_id in range(1, 8)]
    annotations = [
        annotation_row(1, 1, [0, 0, 5, 5]),  # image 1: file missing
        annotation_row(2, 2, [0, 0, 5, 5]),  # image 2: truncated
        annotation_row(3, 2, [0, 0, 6, 6]),
        annotation_row(4, 3, [0, 0, 5, 5]),  # image 3: of another size
        annotation_row(5, 77, [0, 0, 5, 5]),
        annotation_row(6, 5, [0, 0, 5, 5], category_id=90),
        annotation_row(7, 5, [3, 3, 0, 5]),
        annotation_row(8, 5, [3, 3, 5, -5]),
        annotation_row(9, 5, [3, 3, float("nan"), 5]),
        annotation_row(10, 5, [3, 3, 5]),
        annotation_row(11, 5, "3 3 5 5"),
        annotation_row(12, 5, [41, 3, 5, 5]),
        annotation_row(13, 6, [-4, 25, 10, 10]),
        annotation_row(14, 6, [0, 0, 40.005, 30]),  # COCO's rounding, no defect
    ]
    folder = write_folder(tmp_path / "coco", images, annotations)
    train = folder / "train2017"
    (train / images[0]["file_name"]).unlink()
    truncated = train / images[1]["file_name"]
    truncated.write_bytes(truncated.read_bytes()[:-200])
    Image.new("RGB", (30, 40)).save(train / images[2]["file_name"])
    (train / images[3]["file_name"]).write_bytes(b"not an image")

    with caplog.at_level(logging.WARNING):
        source = open_train(folder, tmp_path)
    counts = {
        "missing_image": 1,
        "corrupt_image": 2,
        "size_mismatch": 1,
        "annotation_of_skipped_image": 4,
        "annotation_without_image": 1,
        "unknown_category": 1,
        "degenerate_box": 5,
        "box_outside_image": 1,
        "clipped_box": 1,
    }
    found = {reason: source.report.count(reason) for reason in REASONS}
    assert found == dict.fromkeys(REASONS, 0) | counts
    assert [example["image/id"] for example in source] == [5, 6, 7]
    assert source.report.images == 3
    assert source.report.negatives == 2
    np.testing.assert_allclose(
        source[1]["objects"]["bbox"],
        [[25 / 30, 0, 1, 6 / 40], [0, 0, 1, 1]],
        rtol=1e-6,
    )
    for reason, count in counts.items():
        assert f"{count} {REASONS[reason]}" in caplog.text
    assert source.report.issues["corrupt_image"].first == [
        "000000000002.jpg",
        "000000000004.jpg",
    ]
    assert open_train(folder, tmp_path).report == source.report


def test_category_names_may_have_blanks_around_them(tmp_path):
    rows = [{"id": 4, "name": " fire  hydrant\n"}, {"id": 7, "name": "été"}]
    box = annotation_row(1, 1, [2, 3, 10, 5], category_id=7)
    folder = write_folder(tmp_path / "coco", [image_row(1)], [box], categories=rows)
    source = open_train(folder, tmp_path)
    assert source.class_names == ("fire hydrant", "été")
    assert source[0]["objects"]["label"].tolist() == [1]


def test_missing_area_and_iscrowd_are_filled_in(tmp_path):
    row = annotation_row(1, 1, [2, 3, 10, 5])
    del row["area"], row["iscrowd"]
    folder = write_folder(tmp_path / "coco", [image_row(1)], [row])
    objects = open_train(folder, tmp_path)[0]["objects"]
    assert objects["area"].tolist() == [50]
    assert objects["is_crowd"].tolist() == [False]


def without(name):
    return lambda content: {k: v for k, v in content.items() if k != name}


def with_first(table, **fields):
    def change(content):
        first, *others = content[table]
        return {**content, table: [{**first, **fields}, *others]}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("images"), "missing required field `images`"),
        (without("annotations"), "missing required field `annotations`"),
        (lambda content: [], "Expected `object`, got `array`"),
        (lambda content: {**content, "images": []}, "lists no 'images'"),
        (lambda content: {**content, "categories": []}, "lists no 'categories'"),
        (lambda content: {**content, "images": [3]}, "images[0]"),
        (with_first("images", id="5"), "got `str` - at `$.images[0].id`"),
        (with_first("images", id=11), "images in .* must have distinct 'id'"),
        (with_first("images", width=0), "images[0].width"),
        (with_first("images", height=None), "images[0].height"),
        (with_first("annotations", category_id=None), "annotations[0].category_id"),
        (with_first("categories", name=" bicycle"), "distinct 'name'"),
        (with_first("categories", name=" "), "categories[0].name"),
        (with_first("categories", id=2), "distinct 'id'"),
        (with_first("categories", name="ship"), "must list the same categories"),
    ],
)
def test_a_malformed_annotation_file_is_refused(folder, tmp_path, change, message):
    edit_annotations(folder, change)
    pattern = message if ".*" in message else re.escape(message)
    with pytest.raises(ValueError, match=pattern):
        open_train(folder, tmp_path)
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_a_file_that_is_no_json_is_refused(folder, tmp_path):
    (folder / "annotations" / "instances_val2017.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"instances_val2017\.json is not JSON"):
        open_train(folder, tmp_path)


@pytest.mark.parametrize(
    "missing", ["train2017", "val2017", "annotations/instances_val2017.json"]
)
def test_a_missing_part_is_named(folder, tmp_path, missing):
    (folder / missing).rename(tmp_path / "away")
    with pytest.raises(FileNotFoundError, match=f"directory=.*no .*{missing}"):
        open_train(folder, tmp_path)


def test_a_split_without_any_usable_image_is_refused(folder, tmp_path):
    for path in (folder / "train2017").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"'train' of .* no usable image: 3 images"):
        open_train(folder, tmp_path)
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_bad_arguments_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="directory='/nowhere/coco'"):
        open_train("/nowhere/coco", tmp_path)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match=r"directory=.* must be a directory"):
        open_train(file, tmp_path)
    with pytest.raises(ValueError, match=r"cache_dir=.* must be a directory"):
        open_source(folder, split="train", cache_dir=file)
    with pytest.raises(ValueError, match=r"splits=\{\} must name"):
        check_layout(folder, {})
    with pytest.raises(ValueError, match="num_threads=0"):
        prepare(folder, tmp_path / "cache", num_threads=0)
    with pytest.raises(ValueError, match=r"split='test' .*\['train', 'validation'\]"):
        open_source(folder, split="test", cache_dir=tmp_path / "cache")
