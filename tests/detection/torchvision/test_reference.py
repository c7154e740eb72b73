"""Each stage against what torchvision gave (`record.py`), to float32's accuracy."""

import dataclasses

import jax
import numpy as np
import pytest

from jgc.detection import count_parameters
from jgc.detection.torchvision import load, retinanet
from tests.detection.torchvision import inputs
from tests.detection.torchvision.compare import Reference, differences, pretrained

# Largest differences accepted: canvases in standard deviations, anchors and boxes in
# pixels, losses relative, tied matches in anchors.
ACCEPTED = {
    "canvas": 1e-6,
    "anchors": 1e-4,
    "logits": 3e-5,
    "offsets": 1e-5,
    "ties": 2,
    "matched": 0,
    "losses": 3e-6,
    "unpaired": 0,
    "boxes": 1e-3,
    "scores": 3e-6,
}


@pytest.fixture(scope="module")
def reference():
    return Reference()


@pytest.fixture(scope="module", params=inputs.MODELS)
def model(request, reference):
    return request.param, pretrained(reference, request.param)


@pytest.mark.slow
@pytest.mark.parametrize("image", inputs.IMAGES)
def test_every_stage_is_torchvisions(reference, model, image):
    found = differences(reference, *model, image)
    assert set(found) == set(ACCEPTED)
    assert {k: v for k, v in found.items() if not v <= ACCEPTED[k]} == {}


@pytest.mark.slow
def test_detect_is_all_stages_in_one(reference):
    name = inputs.MODELS[0]
    model = pretrained(reference, name)
    found = model.detect(inputs.image("tall"))
    assert found.valid.all()
    scores = reference(name, "tall", "scores")
    np.testing.assert_allclose(found.scores, scores, atol=3e-6)


def test_trained_parameters_are_torchvisions(model):
    name, pretrained = model
    trained = count_parameters(pretrained.weights.params)
    norms = count_parameters(pretrained.weights.constants)
    # With frozen norms torchvision counts no parameters of them, else two a channel.
    counts = {"retinanet_resnet50_fpn": trained}
    total = counts.get(name, trained + norms)
    assert (
        total
        == {
            "retinanet_resnet50_fpn": 34_014_999,
            "ssdlite320_mobilenet_v3_large": 3_440_060,
        }[name]
    )


def test_names_before_torchvision_0_13(reference):
    """Those of the published RetinaNet: layers of the heads and the pyramid differ."""
    name = "retinanet_resnet50_fpn"
    arrays = reference.state_dict(name)
    old = {}
    for key, array in arrays.items():
        for head in ("classification", "regression"):
            for i in range(4):
                key = key.replace(
                    f"head.{head}_head.conv.{i}.0.", f"head.{head}_head.conv.{2 * i}."
                )
        for kind in ("inner", "layer"):
            for i in range(3):
                key = key.replace(
                    f"fpn.{kind}_blocks.{i}.0.", f"fpn.{kind}_blocks.{i}."
                )
        old[key] = array
    assert len(set(old) - set(arrays)) == 2 * (8 + 6)
    for a, b in zip(
        jax.tree.leaves(load(name, old).weights),
        jax.tree.leaves(load(name, arrays).weights),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_another_networks_state_dict_is_refused(reference):
    ssdlite, retinanet_name = inputs.MODELS
    arrays = reference.state_dict(ssdlite)
    with pytest.raises(ValueError, match="lacks 'head"):
        load(retinanet_name, arrays)
    with pytest.raises(ValueError, match=r"1 arrays .*extra\.weight"):
        load(ssdlite, {**arrays, "extra.weight": np.zeros(3)})
    name = "backbone.extra.0.0.0.weight"
    with pytest.raises(ValueError, match=r"extra0.*\(480, 255\)"):
        load(ssdlite, {**arrays, name: arrays[name][:255]})
    with pytest.raises(ValueError, match="name is 'resnet'"):
        load("resnet", arrays)


def test_other_numbers_of_classes_are_read_from_the_weights(reference):
    name = inputs.MODELS[0]
    arrays = reference.state_dict(name)
    for index in range(6):
        head = f"head.classification_head.module_list.{index}.1"
        for part in ("weight", "bias"):
            arrays[f"{head}.{part}"] = arrays[f"{head}.{part}"][: 6 * 4]
    found = load(name, arrays)
    assert found.detector.num_classes == 3
    assert found.category_ids == (1, 2, 3)


@pytest.mark.parametrize("size", [(480, 640), (427, 640), (640, 360), (333, 500)])
def test_canvases_are_of_whole_strides_and_within_bounds(model, size):
    name, pretrained = model
    if name.startswith("retinanet"):
        pretrained = dataclasses.replace(pretrained, shorter=800, longer=1333)
    canvas = pretrained.canvas(np.full((*size, 3), 255, np.uint8))
    height, width = canvas.pixels.shape[:2]
    used = np.round(np.array(canvas.extent) * (height, width)).astype(int)
    if name.startswith("retinanet"):
        factor = min(800 / min(size), 1333 / max(size))
        np.testing.assert_array_equal(used, [int(side * factor) for side in size])
        assert height % 32 == 0 == width % 32
        assert not canvas.pixels[used[0] :].any()
        assert not canvas.pixels[:, used[1] :].any()
    else:
        assert (height, width) == (320, 320)
    assert (canvas.pixels[: used[0], : used[1]] > 0.9).all()


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((4, 4, 4), "u1")],
)
def test_images_of_another_kind_are_refused(model, image):
    with pytest.raises(ValueError, match="image has"):
        model[1].detect(image)


def test_coarse_anchors_step_by_whole_pixels():
    """torchvision's P7 on 800 pixels: 7 rows, 800 // 7 = 114 pixels apart."""
    grid = retinanet(image_size=(800, 1088)).anchors
    pixels = grid.boxes() * [800, 1088, 800, 1088]
    last = pixels[-7 * 9 * 9 :].reshape(7, 9, 9, 4)
    centres = (last[..., :2] + last[..., 2:]) / 2
    np.testing.assert_allclose(np.diff(centres[:, 0, 0, 0]), 114, atol=1e-3)
    np.testing.assert_allclose(np.diff(centres[0, :, 0, 1]), 120, atol=1e-3)
    np.testing.assert_allclose(centres[0, 0], 0, atol=1e-3)
