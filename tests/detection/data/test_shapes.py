import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from jgc.detection.data import SHAPE_CATEGORIES, generate_shapes, open_source

FEW = {"num_train": 12, "num_val": 4, "image_size": 48}


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes") / "shapes"
    return generate_shapes(
        path, num_train=60, num_val=10, image_size=64, crowd_fraction=0.3
    )


def test_the_source_reads_them_without_a_skip(folder, tmp_path):
    for split, number in (("train", 60), ("validation", 10)):
        source = open_source(folder, split=split, cache_dir=tmp_path)
        assert len(source) == number
        assert source.class_names == SHAPE_CATEGORIES.names
        assert source.category_ids == SHAPE_CATEGORIES.ids
        assert source.report.issues == {}
    report = open_source(folder, split="train", cache_dir=tmp_path).report
    assert report.negatives > 0
    assert report.crowds > 0


def test_boxes_and_areas_are_those_of_what_is_seen(folder):
    truth = COCO(str(folder / "annotations" / "instances_train2017.json"))
    assert {row["category_id"] for row in truth.anns.values()} == set(
        SHAPE_CATEGORIES.ids
    )
    for row in truth.anns.values():
        mask = truth.annToMask(row)
        listed = truth.imgs[row["image_id"]]
        assert mask.shape == (listed["height"], listed["width"])
        assert mask.sum() == row["area"] > 0
        ys, xs = np.nonzero(mask)
        x, y, width, height = row["bbox"]
        assert (xs.min(), ys.min()) == (x, y)
        assert (xs.max() + 1, ys.max() + 1) == (x + width, y + height)


def test_objects_differ_from_the_ground_and_do_not_share_pixels(folder):
    truth = COCO(str(folder / "annotations" / "instances_train2017.json"))
    for image_id, listed in truth.imgs.items():
        rows = truth.imgToAnns[image_id]
        if not rows:
            continue
        masks = np.stack([truth.annToMask(row) for row in rows])
        assert masks.sum(axis=0).max() == 1
        pixels = np.asarray(Image.open(folder / "train2017" / listed["file_name"]))
        saturation = np.ptp(pixels.astype(int), axis=2)
        covered = masks.any(axis=0)
        assert saturation[covered].mean() > saturation[~covered].mean() + 30


def test_the_seed_decides_everything(tmp_path):
    one = files(generate_shapes(tmp_path / "one", **FEW))
    assert one == files(generate_shapes(tmp_path / "two", **FEW))
    other = files(generate_shapes(tmp_path / "three", **FEW, seed=1))
    assert one.keys() == other.keys()
    assert one["train2017/000000000001.jpg"] != other["train2017/000000000001.jpg"]


def test_a_larger_data_set_begins_with_the_smaller(tmp_path):
    small = generate_shapes(tmp_path / "small", **FEW)
    large = generate_shapes(tmp_path / "large", **{**FEW, "num_train": 14})
    for path in (small / "train2017").iterdir():
        assert path.read_bytes() == (large / "train2017" / path.name).read_bytes()


def test_the_splits_differ(folder):
    content = [
        json.loads((folder / "annotations" / f"instances_{name}.json").read_text())
        for name in ("train2017", "val2017")
    ]
    ids = [{row["id"] for row in one["images"]} for one in content]
    assert not ids[0] & ids[1]
    boxes = [[row["bbox"] for row in one["annotations"][:5]] for one in content]
    assert boxes[0] != boxes[1]


def test_fractions_of_one_and_none(tmp_path):
    folder = generate_shapes(tmp_path / "empty", **FEW, empty_fraction=1.0)
    content = json.loads((folder / "annotations/instances_train2017.json").read_text())
    assert content["annotations"] == []
    folder = generate_shapes(
        tmp_path / "full",
        **FEW,
        empty_fraction=0.0,
        crowd_fraction=1.0,
        max_objects=1,
    )
    truth = COCO(str(folder / "annotations/instances_train2017.json"))
    for image_id in truth.imgs:
        assert sum(row["iscrowd"] for row in truth.imgToAnns[image_id]) == 1


def test_generating_again_reuses(tmp_path):
    path = tmp_path / "shapes"
    path.mkdir()  # an empty folder is as good as none
    generate_shapes(path, **FEW)
    written = path.stat().st_mtime_ns
    assert generate_shapes(path, **FEW) == path
    assert path.stat().st_mtime_ns == written
    assert [p.name for p in tmp_path.iterdir()] == ["shapes"]


def test_other_settings_or_files_are_not_overwritten(tmp_path):
    path = generate_shapes(tmp_path / "shapes", **FEW)
    with pytest.raises(ValueError, match=r"other settings .*'seed': \(0, 3\)"):
        generate_shapes(path, **FEW, seed=3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="holds something else"):
        generate_shapes(tmp_path / "mine", **FEW)


def test_nothing_is_left_of_a_failure(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        generate_shapes(tmp_path / "shapes", **FEW)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_train", 0),
        ("num_val", 0),
        ("image_size", 31),
        ("max_objects", 0),
        ("max_objects", 99),
        ("empty_fraction", 1.5),
        ("crowd_fraction", -0.1),
        ("min_diameter", 0.01),
        ("max_diameter", 0.05),
        ("max_diameter", 0.9),
        ("hue_range", 1.1),
        ("seed", -1),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must"):
        generate_shapes(tmp_path / "shapes", **{name: value})


def test_the_cache_has_a_folder_for_each_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("JGC_CACHE", str(tmp_path))
    few = {"num_train": 1, "num_val": 1, "image_size": 32}
    first = generate_shapes(**few)
    assert first.parent == tmp_path / "shapes"
    assert generate_shapes(**few) == first
    assert generate_shapes(**few, seed=1) != first
    elsewhere = generate_shapes(**few, cache_dir=tmp_path / "other")
    assert elsewhere == tmp_path / "other" / first.name


def test_diameters_and_hues_are_those_asked_for(tmp_path):
    folder = generate_shapes(
        tmp_path / "shapes",
        num_train=40,
        num_val=1,
        image_size=64,
        max_objects=1,
        crowd_fraction=0,
        min_diameter=0.4,
        max_diameter=0.5,
        hue_range=0.0,
    )
    hues = [[] for _ in SHAPE_CATEGORIES.names]
    sides = []
    for example in open_source(folder, split="train", cache_dir=tmp_path / "cache"):
        height, width, _ = example["image"].shape
        for box, label in zip(
            *map(example["objects"].get, ("bbox", "label")), strict=True
        ):
            ymin, xmin, ymax, xmax = box * (height, width, height, width)
            sides.append(max(ymax - ymin, xmax - xmin) / min(height, width))
            inside = example["image"][
                round(ymin) : round(ymax), round(xmin) : round(xmax)
            ]
            red, green, blue = np.transpose(inside.reshape(-1, 3).astype(float))
            hue = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)
            saturation = inside.max(-1).ravel() - inside.min(-1).ravel()
            hues[label].append(hue[saturation.argmax()] / (2 * np.pi) % 1)
    # A turned outline fills its circle but for some, and a stretched one less.
    assert 0.25 < min(sides) < max(sides) < 0.6
    for label, found in enumerate(hues):
        away = (np.array(found) - label / len(hues) + 0.5) % 1 - 0.5
        assert np.abs(away).max(initial=0) < 0.05
    assert sum(len(found) > 0 for found in hues) > 3
