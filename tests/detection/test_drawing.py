import numpy as np
import pytest
from PIL import Image

from jgc.detection import Detections, Examples, draw_detections, draw_grid
from jgc.detection._drawing import Panel

NAMES = ("cat", "dog")


@pytest.fixture
def scene():
    images = [np.full((60, 90, 3), 40, np.uint8), np.full((50, 50, 3), 200, np.uint8)]
    boxes = np.tile([0.1, 0.2, 0.6, 0.7], (2, 2, 1))
    labels = np.array([[0, 1], [1, 0]])
    scores = np.array([[0.9, 0.1], [0.5, 0.4]])
    valid = np.array([[True, True], [True, False]])
    detections = Detections(boxes, scores, labels, valid)
    square = np.zeros((2, 8, 8, 3), np.uint8)
    return images, detections, Examples(square, boxes, labels, valid, ~valid)


def test_a_picture_appears_whole_and_alone(scene, tmp_path):
    images, detections, examples = scene
    path = tmp_path / "new" / "grid.png"
    draw_detections(path, images, detections, class_names=NAMES, examples=examples)
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert np.asarray(picture).std() > 0
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_picture_leaves_the_old_one(scene, tmp_path, monkeypatch):
    images, detections, _ = scene
    path = tmp_path / "grid.png"
    path.write_text("old")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_detections(path, images, detections, class_names=NAMES)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_errors_name_the_argument(scene, tmp_path):
    images, detections, _ = scene
    with pytest.raises(ValueError, match="images has 1"):
        draw_detections(tmp_path / "x.png", images[:1], detections, class_names=NAMES)
    with pytest.raises(ValueError, match="label 1; class_names"):
        draw_detections(tmp_path / "x.png", images, detections, class_names=("cat",))
    with pytest.raises(ValueError, match="panels"):
        draw_grid(tmp_path / "x.png", [], class_names=NAMES)
    panel = Panel(images[0], np.zeros((0, 4)), np.zeros(0, int))
    with pytest.raises(ValueError, match="columns"):
        draw_grid(tmp_path / "x.png", [panel], class_names=NAMES, columns=0)
