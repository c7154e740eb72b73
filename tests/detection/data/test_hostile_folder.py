"""One folder with everything that nobody should send, next to ordinary images.

The tables list the answer to each: what is kept, what is skipped and why, and which
annotation files are refused in a line.
"""

import json
import os

import numpy as np
import pytest
from PIL import Image

from jgc.detection.data import REASONS, load_split, open_source
from jgc.detection.data._coco_layout import COCO_2017_SPLITS
from tests.detection.data.helpers import annotation_row, edit_annotations, write_folder

WIDTH, HEIGHT = 40, 30
RED = (200, 40, 40)


def plain(path, mode="RGB", colour=RED, size=(WIDTH, HEIGHT), **options):
    Image.new("RGB", size, colour).convert(mode).save(path, **options)


def sixteen_bits(path):
    ramp = np.linspace(0, 65535, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH)
    Image.fromarray(ramp.astype(np.uint16)).save(path)


def rotated(path):
    """Its orientation says to turn it; annotations are of the pixels as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6
    plain(path, exif=exif)


def truncated(path):
    plain(path)
    path.write_bytes(path.read_bytes()[:-100])


def bomb(path):
    """A kilobyte that says it is 60,000 pixels a side."""
    plain(path)
    data = path.read_bytes()
    size = data.index(b"IHDR") + 4
    path.write_bytes(data[:size] + (60_000).to_bytes(4) * 2 + data[size + 8 :])


def nothing(path):
    pass


def link_to(target):
    return lambda path: path.symlink_to(path.parent.parent / target)


# File name, how it is made, and the answer: "" where the image is kept.
IMAGES = [
    ("ordinary.jpg", plain, ""),
    ("été 图.jpg", plain, ""),
    ("below/a/folder.jpg", plain, ""),
    ("grey.jpg", lambda path: plain(path, "L"), ""),
    ("cmyk.jpg", lambda path: plain(path, "CMYK"), ""),
    ("palette.png", lambda path: plain(path, "P"), ""),
    ("transparent.png", lambda path: plain(path, "RGBA"), ""),
    ("one-bit.png", lambda path: plain(path, "1"), ""),
    ("sixteen-bits.png", sixteen_bits, ""),
    ("exif-rotated.jpg", rotated, ""),
    ("png-called.jpg", lambda path: plain(path, format="PNG"), ""),
    ("link-within.jpg", link_to("val2017/000000000020.jpg"), ""),
    ("link-to-ordinary.jpg", link_to("train2017/ordinary.jpg"), ""),
    ("truncated.jpg", truncated, "corrupt_image"),
    ("empty.jpg", lambda path: path.write_bytes(b""), "corrupt_image"),
    ("text.jpg", lambda path: path.write_bytes(b"not an image"), "corrupt_image"),
    ("bomb.png", bomb, "corrupt_image"),
    ("other-size.jpg", lambda path: plain(path, size=(30, 40)), "size_mismatch"),
    ("missing.jpg", nothing, "missing_image"),
    ("", nothing, "missing_image"),
    ("folder.jpg", lambda path: path.mkdir(), "missing_image"),
    ("pipe.jpg", os.mkfifo, "missing_image"),
    ("broken-link.jpg", link_to("train2017/nowhere.jpg"), "missing_image"),
    ("circle.jpg", lambda path: path.symlink_to(path), "unreadable_image"),
    ("x" * 300 + ".jpg", nothing, "unreadable_image"),
    ("x/" * 3000 + ".jpg", nothing, "unreadable_image"),
    ("nul\0.jpg", nothing, "unreadable_image"),
    ("../outside.jpg", plain, "outside_folder"),
    ("../../secret.jpg", plain, "outside_folder"),
    ("below/../ordinary.jpg", nothing, "outside_folder"),
    ("{absolute}/secret.jpg", nothing, "outside_folder"),
    ("link-outside.jpg", link_to("../secret.jpg"), "outside_folder"),
    ("folder-outside/secret.jpg", nothing, "outside_folder"),
]

# Fields of an annotation of ordinary.jpg, and the answer: "" where it is kept.
ANNOTATIONS = [
    ({}, ""),
    ({"iscrowd": 1}, "crowd"),
    ({"iscrowd": "1"}, "crowd"),
    ({"iscrowd": "0"}, ""),
    ({"iscrowd": False}, ""),
    ({"iscrowd": None}, ""),
    ({"iscrowd": "yes"}, "unknown_crowd"),
    ({"iscrowd": 2}, "unknown_crowd"),
    ({"iscrowd": [0]}, "unknown_crowd"),
    ({"id": 3}, ""),  # twice: ids are given anew for scoring
    ({"id": -(2**63)}, ""),
    ({"area": None}, ""),
    ({"area": "12"}, ""),
    ({"area": 1e300}, ""),
    ({"area": 10**400}, ""),
    ({"area": float("nan")}, ""),
    ({"area": -5}, ""),
    ({"category_id": 5}, "unknown_category"),  # in the gap between 2 and 9
    ({"category_id": 0}, "unknown_category"),
    ({"bbox": [3, 3, 0, 5]}, "degenerate_box"),
    ({"bbox": [3, 3, 5, -5]}, "degenerate_box"),
    ({"bbox": [3, 3, float("nan"), 5]}, "degenerate_box"),
    ({"bbox": [3, 3, float("inf"), 5]}, "degenerate_box"),
    ({"bbox": [3, 3, 10**400, 5]}, "degenerate_box"),
    ({"bbox": [3, 3, 5]}, "degenerate_box"),
    ({"bbox": ["3", "3", "5", "5"]}, "degenerate_box"),
    ({"bbox": {"x": 3}}, "degenerate_box"),
    ({"bbox": None}, "degenerate_box"),
    ({"bbox": [41, 3, 5, 5]}, "box_outside_image"),
    ({"bbox": [1e308, 3, 1e308, 5]}, "box_outside_image"),
    ({"bbox": [-4, 25, 10, 10]}, "clipped_box"),
    ({"bbox": [-1e18, -1e18, 2e18, 2e18]}, "clipped_box"),
    ({"image_id": 999}, "annotation_without_image"),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    outer = tmp_path_factory.mktemp("hostile")
    root, outside = outer / "coco", outer / "elsewhere"
    write_folder(root, [], [])
    outside.mkdir()
    plain(outer / "secret.jpg")
    plain(outside / "secret.jpg")
    train = root / "train2017"
    (train / "folder-outside").symlink_to(outside)
    images = []
    for number, (name, make, _) in enumerate(IMAGES, start=1):
        name = name.replace("{absolute}", str(outer))
        if make is not nothing:
            (train / name).parent.mkdir(parents=True, exist_ok=True)
            make(train / name)
        images.append(
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        )
    annotations = [
        annotation_row(number, 1, [3, 3, 5, 5]) | fields
        for number, (fields, _) in enumerate(ANNOTATIONS, start=1)
    ]
    edit_annotations(
        root,
        lambda content: {**content, "images": images, "annotations": annotations},
    )
    return root


def test_everything_hostile_has_its_answer(hostile, tmp_path, caplog):
    source = open_source(hostile, split="train", cache_dir=tmp_path / "cache")
    kept = [number for number, (*_, why) in enumerate(IMAGES, start=1) if not why]
    assert [source.record(index).image_id for index in range(len(source))] == kept

    expected = dict.fromkeys(REASONS, 0)
    for why in [why for *_, why in IMAGES] + [why for _, why in ANNOTATIONS]:
        if why not in ("", "crowd"):
            expected[why] += 1
    assert all(expected[reason] for reason in REASONS if "skipped_image" not in reason)
    assert {reason: source.report.count(reason) for reason in REASONS} == expected
    for reason, count in expected.items():
        assert (f"{count} {REASONS[reason]}" in caplog.text) == (count > 0)
    # What is logged is a line each, short, whatever the files are called.
    assert all(
        len(line) < 500 and line.isprintable()
        for record in caplog.records
        for line in [record.getMessage()]
    )

    accepted = [why for _, why in ANNOTATIONS if why in ("", "crowd", "clipped_box")]
    objects = source[0]["objects"]
    assert objects["is_crowd"].tolist() == [why == "crowd" for why in accepted]
    assert (objects["area"] >= 0).all()
    assert ((objects["bbox"] >= 0) & (objects["bbox"] <= 1)).all()
    assert source.report.most_objects == source.most_objects == len(accepted)

    loaded = load_split(source, size=16)
    ids = [row["id"] for row in loaded.ground_truth["annotations"]]
    assert ids == list(range(1, len(accepted) + 1))
    assert loaded.examples.valid.sum() + loaded.examples.crowd.sum() == len(accepted)


def test_colours_come_back_as_they_are_seen(hostile, tmp_path):
    source = open_source(hostile, split="train", cache_dir=tmp_path / "cache")
    seen = {example["image/filename"]: example["image"] for example in source}
    for name in ("ordinary.jpg", "cmyk.jpg", "transparent.png", "exif-rotated.jpg"):
        assert seen[name].shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_allclose(seen[name].mean((0, 1)), RED, atol=6)
    ramp = seen["sixteen-bits.png"]
    assert ramp.min() == 0
    assert ramp.max() == 255
    np.testing.assert_allclose(ramp.mean(), 127.5, atol=1)
    grey = seen["grey.jpg"]
    assert (grey[..., 0] == grey[..., 1]).all()


def with_first(table, **fields):
    def change(content):
        first, *others = content[table]
        return {**content, table: [{**first, **fields}, *others]}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_first("images", id=2**63), r"images\[0\]\.id .* 64 bits"),
        (with_first("images", id=10**400), r"images\[0\]\.id .*one of 1329 bits"),
        (with_first("images", width=2**31), r"images\[0\]\.width .*not 2147483648"),
        (with_first("annotations", id=2**64), r"annotations\[0\]\.id .* 64 bits"),
        (with_first("annotations", category_id=-(2**64)), r"\[0\]\.category_id"),
        (with_first("categories", id=2**70), r"categories\[0\]\.id .* 64 bits"),
        (with_first("images", file_name="\ud800"), "surrogate|UTF-8|utf-8"),
    ],
)
def test_numbers_and_text_beyond_bounds_are_refused_in_a_line(
    tmp_path, change, message
):
    folder = write_folder(tmp_path / "coco")
    edit_annotations(folder, change)
    with pytest.raises(ValueError, match=message) as caught:
        open_source(folder, split="train", cache_dir=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON: it is empty"),
        ("[" * 200_000, "Expected `object`, got `array`"),
        ('{"images": ' + "[" * 200_000 + "]" * 200_000 + "}", "got `array`"),
        ('{"licenses": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deeply"),
        ('{"info": ' + '{"a":' * 200_000 + "1" + "}" * 200_000 + "}", "nested too"),
        ('{"images": [{"id": ' + "9" * 5000 + "}]}", "annotation file"),
        ('{"images": [], "images": [', "is not JSON"),
        ("\x80\x81", "is not JSON"),
        ("null", "must hold COCO's 'images'"),
    ],
)
def test_files_that_are_no_annotations_are_refused_in_a_line(tmp_path, text, message):
    folder = write_folder(tmp_path / "coco")
    path = folder / COCO_2017_SPLITS["train"].annotations
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message) as caught:
        open_source(folder, split="train", cache_dir=tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_what_python_writes_beyond_json_is_read_all_the_same(tmp_path):
    folder = write_folder(tmp_path / "coco")
    path = folder / COCO_2017_SPLITS["train"].annotations
    content = json.loads(path.read_text())
    content["info"] = {"score": float("nan"), "others": [float("-inf"), 1e-3]}
    path.write_text(json.dumps(content))
    assert "NaN" in path.read_text()
    source = open_source(folder, split="train", cache_dir=tmp_path / "cache")
    assert source[1]["objects"]["area"].tolist() == [100, 100]
