import json
import os
import pickle
import shutil
import sys
import types
from pathlib import Path

import chex
import numpy as np
import pytest
import tensorflow_datasets as tfds

from jgc.detection.data import COCO_2017, _tfds, load_split, open_source
from tests.detection.data.helpers import (
    annotation_row,
    image_row,
    write_folder,
    write_split,
)

COCO_ROWS = [
    {"id": category_id, "name": name}
    for category_id, name in zip(COCO_2017.ids, COCO_2017.names, strict=True)
]


@pytest.fixture
def prepared(tmp_path, coco_2017, monkeypatch):
    """coco/2017 as TFDS itself prepares it, from a dozen images."""
    images = [image_row(image_id) for image_id in range(1, 13)]
    annotations = [
        annotation_row(7, 4, [1.0, 2.0, 20.5, 10.25], category_id=90),
        annotation_row(8, 4, [0.0, 0.0, 10.0, 5.0], category_id=1, iscrowd=1),
        annotation_row(9, 12, [0.0, 0.0, 10.0, 5.0], category_id=13),
    ]
    root = write_folder(tmp_path / "raw", images, annotations, categories=COCO_ROWS)
    write_split(root, "test2017", [image_row(50)], [], categories=COCO_ROWS)
    shutil.copy(
        root / "annotations" / "instances_test2017.json",
        root / "annotations" / "image_info_test2017.json",
    )
    manager = types.SimpleNamespace(
        download_and_extract=lambda urls: dict.fromkeys(urls, str(root)),
        downloaded_size=0,
    )
    monkeypatch.setattr(
        type(coco_2017), "_make_download_manager", lambda self, **_: manager
    )
    coco_2017.download_and_prepare(file_format="array_record")
    return Path(coco_2017.data_dir)


def edit_info(prepared, **fields):
    path = prepared / "dataset_info.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_table_is_coco_2017s():
    assert len(COCO_2017.ids) == len(COCO_2017.names) == 80
    absent = set(range(1, 91)) - set(COCO_2017.ids)
    assert absent == {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}


def test_a_prepared_coco_2017_is_read_without_tensorflow(prepared):
    source = open_source(prepared, split="train")
    assert "tensorflow" not in sys.modules
    assert source.class_names == COCO_2017.names
    assert source.category_ids == COCO_2017.ids
    assert source.report is None
    # TFDS has shuffled the records; the source is ordered.
    stored = tfds.builder_from_directory(prepared).as_data_source(
        "train", decoders={"image": tfds.decode.SkipDecoding()}
    )
    assert [record["image/id"] for record in stored] != list(range(1, 13))
    assert [example["image/id"] for example in source] == list(range(1, 13))
    objects = source[3]["objects"]
    ids = [source.category_ids[label] for label in objects["label"]]
    assert ids == [90, 1]
    assert objects["is_crowd"].tolist() == [False, True]
    assert load_split(source, size=16, limit=4).image_ids.tolist() == [1, 2, 3, 4]
    assert len(open_source(prepared, split="test")) == 1


def test_a_folder_and_tfds_give_the_same_examples(prepared):
    stored = open_source(prepared, split="train")
    folder = open_source(prepared.parents[3] / "raw", split="train")
    assert len(stored) == len(folder) == 12
    assert stored.most_objects == folder.most_objects == 2
    for one, other in zip(stored, folder, strict=True):
        chex.assert_trees_all_equal_dtypes(one["objects"], other["objects"])
        assert one.pop("image/filename") == other.pop("image/filename")
        chex.assert_trees_all_close(one, other, rtol=1e-6)


def test_the_order_is_found_once_and_kept(prepared, monkeypatch):
    first = open_source(prepared, split="train")
    monkeypatch.setattr(_tfds, "read_in_threads", None)  # would fail
    again = open_source(prepared, split="train")
    assert [example["image/id"] for example in again] == list(range(1, 13))
    copy = pickle.loads(pickle.dumps(first))
    np.testing.assert_array_equal(copy[3]["image"], first[3]["image"])
    monkeypatch.undo()
    os.utime(next(prepared.glob("*train*")))
    assert len(open_source(prepared, split="train")) == 12


def test_a_prepared_coco_2017_without_names_gets_coco_s(prepared):
    (prepared / "objects-label.labels.txt").unlink()
    source = open_source(prepared, split="validation")
    assert source.class_names == COCO_2017.names
    assert source.category_ids == COCO_2017.ids


def test_other_classes_get_ids_of_their_own(prepared):
    names = [f"class {label}" for label in range(80)]
    (prepared / "objects-label.labels.txt").write_text("\n".join(names) + "\n")
    source = open_source(prepared, split="validation")
    assert source.class_names == tuple(names)
    assert source.category_ids == tuple(range(1, 81))


def test_the_folder_above_will_do(prepared):
    for above in (prepared.parent, prepared.parent.parent):
        assert open_source(above, split="train").directory == prepared
    shutil.copytree(prepared, prepared.parent / "1.2.0")
    with pytest.raises(ValueError, match=r"one prepared data set; choose .*1\.2\.0"):
        open_source(prepared.parent, split="train")


def test_a_format_without_random_access_is_refused(prepared):
    edit_info(prepared, fileFormat="tfrecord")
    with pytest.raises(ValueError, match=r"'tfrecord'.*file_format='array_record'"):
        open_source(prepared, split="train")


def test_an_unknown_split_is_refused(prepared):
    with pytest.raises(ValueError, match=r"'val' .*'test', 'train', 'validation'"):
        open_source(prepared, split="val")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["image/id"], "'image/id' is missing"),
        (["objects"], "'objects' is missing"),
        (["objects", "is_crowd"], "'is_crowd' is missing"),
    ],
)
def test_a_missing_feature_is_named(prepared, path, message):
    file = prepared / "features.json"
    content = json.loads(file.read_text())
    features = content["featuresDict"]["features"]
    for name in path[:-1]:
        features = features[name]["sequence"]["feature"]["featuresDict"]["features"]
    del features[path[-1]]
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        open_source(prepared, split="train")


def test_a_folder_of_neither_kind_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"COCO's layout .*holiday\.jpg"):
        open_source(tmp_path, split="train")
    with pytest.raises(FileNotFoundError, match="directory='/nowhere'"):
        open_source("/nowhere", split="train")


def test_indices_count_from_both_ends(prepared):
    source = open_source(prepared, split="train")
    assert source[-1]["image/id"] == 12
    with pytest.raises(IndexError):
        source[12]
    assert "12 examples, 80 classes" in repr(source)
    np.testing.assert_array_equal(source[0]["objects"]["bbox"], np.zeros((0, 4)))
