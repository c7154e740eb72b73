import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection import (
    DETECTORS,
    AnchorGrid,
    SoftmaxLoss,
    count_parameters,
    detector,
    pyramid_shapes,
    retinanet,
)
from jgc.detection.models import ResNetFeatures
from jgc.detection.models._layers import FrozenNorm
from jgc.detection.models._retinanet import FeaturePyramid

SMALL = {"num_classes": 3, "image_size": 32, "depth": 18, "width": 0.125}


def parameters(**options):
    made = retinanet(**{"num_classes": 91, **options})
    return jax.eval_shape(made.init, jax.random.key(0))


def test_retinanet_has_torchvisions_count():
    frozen, grouped = parameters(norm="frozen"), parameters()
    assert count_parameters(frozen) == 34_014_999
    assert count_parameters(grouped) == 34_014_999 + 53_120
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(grouped))


@pytest.mark.parametrize(
    ("depth", "count"),
    # torchvision's classifiers without their last layer.
    [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160)],
)
def test_resnets_have_torchvisions_counts(depth, count):
    images = jnp.zeros((1, 64, 64, 3))
    variables = jax.eval_shape(
        ResNetFeatures(depth=depth).init, jax.random.key(0), images
    )
    assert count_parameters(variables["params"]) == count


@pytest.mark.parametrize(
    ("image_size", "strides", "depth"),
    [(640, None, 50), (50, (4, 8, 16), 18), ((96, 160), None, 18), (33, (32, 64), 34)],
)
def test_there_is_an_anchor_for_every_output(image_size, strides, depth):
    made = retinanet(
        num_classes=5, image_size=image_size, width=0.25, depth=depth, strides=strides
    )
    images = jax.ShapeDtypeStruct((2, *made.image_shape, 3), np.float32)
    (logits, offsets), _ = jax.eval_shape(
        made.network.init_with_output, jax.random.key(0), images
    )
    assert made.anchor_boxes.shape == (made.anchors.count, 4)
    assert sum(made.anchors.per_level) == made.anchors.count
    assert logits.shape == (2, made.anchors.count, 5)
    assert offsets.shape == (2, made.anchors.count, 4)


def test_anchors_are_the_papers():
    grid = retinanet(num_classes=3, image_size=512).anchors
    assert [height for height, _ in grid.maps] == [64, 32, 16, 8, 4]
    assert grid.per_pixel == (9,) * 5
    sides = np.array(grid.shapes[0]) * 512
    np.testing.assert_allclose(
        np.sqrt(sides.prod(1)), np.tile(32 * 2 ** (np.arange(3) / 3), 3), rtol=1e-6
    )
    np.testing.assert_allclose(
        sides[:, 0] / sides[:, 1], np.repeat([0.5, 1, 2], 3), rtol=1e-6
    )


@pytest.mark.parametrize("size", [8, 7])
def test_the_pyramid_adds_the_coarser_map_doubled(size):
    """By hand: identities for all filters, one channel."""
    coarse = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 4, 1)))
    fine = jnp.ones((1, size, size, 1))
    pyramid = FeaturePyramid(channels=1, extra=0)
    variables = pyramid.init(jax.random.key(0), [fine, coarse])
    middle = np.zeros((3, 3, 1, 1))
    middle[1, 1] = 1
    kernels = {
        "lateral0": np.ones((1, 1)), "lateral1": np.ones((1, 1)),
        "smooth0": middle, "smooth1": middle,
    }  # fmt: skip
    params = {
        name: {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(1)}
        for name, kernel in kernels.items()
    }
    assert jax.tree.structure(params) == jax.tree.structure(variables["params"])
    low, high = pyramid.apply({"params": params}, [fine, coarse])
    expected = (
        1 + np.asarray(coarse)[:, np.arange(size) // 2][:, :, np.arange(size) // 2]
    )
    np.testing.assert_allclose(low, expected, rtol=1e-6)
    np.testing.assert_allclose(high, coarse, rtol=1e-6)


@pytest.fixture(scope="module")
def small():
    made = retinanet(**SMALL, head_norm=True, base_size=2.0)
    return made, jax.jit(made.init)(jax.random.key(0))


@pytest.mark.slow
def test_images_learn_alone_and_every_parameter_learns(small, examples):
    """Losses and gradients of a batch are the sums of its images'."""
    made, params = small
    weights = np.array([0.5, 2.0, -1.0, 1.0], np.float32)

    @jax.jit
    def of_sum(params, examples, weights):
        def total(params):
            losses = made.loss(params, examples)
            return losses @ weights, losses

        return jax.grad(total, has_aux=True)(params)

    gradient, losses = of_sum(params, examples, weights)
    host = jax.device_get(examples)
    gradients = []
    for n in range(4):
        copies = jax.tree.map(lambda x, n=n: np.stack([x[n]] * 4), host)
        alone, repeated = of_sum(params, copies, weights * (np.arange(4) == n))
        np.testing.assert_allclose(repeated, losses[n], rtol=1e-4, atol=1e-6)
        gradients.append(alone)
    total = jax.tree.map(lambda *g: sum(g), *gradients)
    scale = max(np.abs(g).max() for g in jax.tree.leaves(total))
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(total), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * scale)
        assert np.any(a)


def test_frozen_norms_are_constants():
    x = jax.random.normal(jax.random.key(0), (2, 3, 3, 4))
    norm = FrozenNorm()
    variables = norm.init(jax.random.key(0), x)
    assert set(variables) == {"constants"}
    np.testing.assert_array_equal(norm.apply({}, x), x)
    constants = {"gain": jnp.array([1.0, 2, 3, 4]), "shift": jnp.arange(4.0)}
    np.testing.assert_allclose(
        norm.apply({"constants": constants}, x),
        x * constants["gain"] + constants["shift"],
        rtol=1e-6,
    )


def test_a_softmax_has_one_output_more():
    made = retinanet(**SMALL, classes=SoftmaxLoss(), prior=None)
    images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
    params = jax.eval_shape(made.init, jax.random.key(0))
    assert jax.eval_shape(made.predict, params, images).logits.shape[-1] == 4
    found = jax.eval_shape(made.detect, params, images)
    assert found.boxes.shape == (1, 100, 4)


def test_detectors_by_name():
    assert set(DETECTORS) == {"retinanet", "ssdlite"}
    assert detector("retinanet", **SMALL) == retinanet(**SMALL)
    with pytest.raises(ValueError, match=r"name is 'yolo'.*retinanet.*ssdlite"):
        detector("yolo", num_classes=3)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"depth": 20}, "depth"),
        ({"strides": (8, 32)}, "consecutive"),
        ({"strides": (64, 128)}, "strides"),
        ({"strides": (256,)}, "strides"),
        ({"image_size": 16}, "image_size"),
        ({"image_size": (64, 16)}, "image_size"),
        ({"width": 0.0}, "width"),
        ({"base_size": 0.0}, "base_size"),
        ({"scales": ()}, "scales"),
        ({"aspect_ratios": (1.0, -1.0)}, "aspect_ratios"),
        ({"norm": "batch"}, "norm"),
        ({"anchors": AnchorGrid(maps=((1, 1),), shapes=(((1.0, 1.0),),))}, "anchors"),
        ({"box_weight": -1.0}, "box_weight"),
    ],
)
def test_options_out_of_range_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        retinanet(**{**SMALL, **options})


def test_pyramid_shapes_are_relative_to_height_and_width():
    ((shape,),) = pyramid_shapes(
        (8,), (100, 200), base_size=2.0, scales=(1.0,), aspect_ratios=(4.0,)
    )
    np.testing.assert_allclose(shape, [32 / 100, 8 / 200])
