import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection import ssdlite


@pytest.fixture(scope="module")
def gradients(detector, params, examples):
    """Loss and gradient of the images' weighted sum, and of each image alone.

    "Alone" is in a batch of its copies, of which one counts: one compilation.
    """
    weights = np.array([0.5, 2.0, -1.0, 1.0], np.float32)

    @jax.jit
    def of_sum(params, examples, weights):
        def total(params):
            losses = detector.loss(params, examples)
            return losses @ weights, losses

        return jax.value_and_grad(total, has_aux=True)(params)

    together = of_sum(params, examples, weights)
    singles = [
        of_sum(
            params,
            jax.tree.map(lambda x, n=n: np.stack([x[n]] * 4), jax.device_get(examples)),
            weights * (np.arange(4) == n),
        )
        for n in range(4)
    ]
    return jax.device_get((together, singles))


def test_a_batchs_losses_and_gradients_are_its_images(gradients):
    ((_, losses), gradient), singles = gradients
    alone = np.stack([losses[n] for n, ((_, losses), _) in enumerate(singles)])
    np.testing.assert_allclose(losses, alone, rtol=1e-4, atol=1e-6)
    total = jax.tree.map(lambda *g: sum(g), *(g for _, g in singles))
    scale = max(np.abs(g).max() for g in jax.tree.leaves(total))
    for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(total), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4 * scale)


def test_every_parameter_learns(gradients):
    (_, gradient), _ = gradients
    flat = jax.tree_util.tree_flatten_with_path(gradient)[0]
    assert all(np.isfinite(g).all() for _, g in flat)
    silent = [jax.tree_util.keystr(path) for path, g in flat if not np.any(g)]
    assert silent == []


@pytest.fixture(scope="module")
def loss(detector):
    return jax.jit(detector.loss)


def test_padding_does_not_change_the_loss(loss, params, examples):
    garbage = jax.random.uniform(jax.random.key(3), examples.boxes.shape)
    unused = ~(examples.valid | examples.crowd)
    other = examples._replace(
        boxes=jnp.where(unused[..., None], garbage, examples.boxes),
        labels=jnp.where(examples.valid, examples.labels, 2),
    )
    np.testing.assert_array_equal(loss(params, examples), loss(params, other))


def test_a_crowd_only_spares_background(loss, params, examples):
    losses = loss(params, examples)
    without = loss(params, examples._replace(crowd=jnp.zeros_like(examples.crowd)))
    np.testing.assert_array_equal(losses[:2], without[:2])
    assert losses[2] < without[2]


def test_parts_sum_to_the_loss(detector, loss, params, examples):
    parts = jax.jit(detector.losses)(params, examples)
    np.testing.assert_allclose(sum(parts), loss(params, examples), rtol=1e-6)
    assert parts.box[3] == 0  # nothing to learn there
    assert (parts.classification > 0).all()


def test_detections_fit_their_type(detector, params, examples):
    detect = jax.jit(
        lambda p, x: detector.detect(p, x, max_detections=20, score_threshold=0.0)
    )
    found = detect(params, examples.image)
    assert found.boxes.shape == (4, 20, 4)
    assert found.valid.any()
    assert ((found.boxes >= 0) & (found.boxes <= 1)).all()
    assert (jnp.diff(found.scores, axis=1) <= 0).all()
    assert ((found.labels >= 0) & (found.labels < 3)).all()


def test_untrained_scores_are_the_prior(detector, params, examples):
    logits, _ = jax.jit(detector.predict)(params, examples.image)
    np.testing.assert_allclose(jax.nn.sigmoid(logits).mean(), 0.01, rtol=0.1)


@pytest.mark.slow
def test_bfloat16_is_close(params, loss, examples):
    options = {"num_classes": 3, "image_size": 32, "width": 0.25}
    low = ssdlite(**options, strides=(8, 16, 32), dtype=jnp.bfloat16)
    losses = jax.jit(low.loss)(params, examples)
    assert losses.dtype == jnp.float32
    np.testing.assert_allclose(losses, loss(params, examples), rtol=0.1)


@pytest.mark.slow
def test_gradient_descent_learns_a_batch(detector, params, examples):
    @jax.jit
    def step(params):
        value, gradient = jax.value_and_grad(
            lambda p: detector.loss(p, examples).sum()
        )(params)
        return jax.tree.map(lambda p, g: p - 0.02 * g, params, gradient), value

    values = []
    for _ in range(40):
        params, value = step(params)
        values.append(float(value))
    assert values[-1] < 0.5 * values[0]


def test_detectors_are_hashable_and_equal_by_value():
    one, other = (ssdlite(num_classes=3, image_size=64) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"num_classes": 0}, "num_classes"),
        ({"image_size": 16}, "image_size"),
        ({"width": 0.0}, "width"),
        ({"strides": ()}, "strides"),
        ({"strides": (16, 8)}, "strides"),
        ({"strides": (12,)}, "strides"),
        ({"scales": (0.1, 0.2)}, "scales"),
        ({"min_scale": 2.0}, "min_scale"),
        ({"residual_scale": 2.0}, "residual_scale"),
        ({"norm": "batch"}, "norm"),
        ({"variances": (0.0, 1.0)}, "variances"),
        ({"beta": -1.0}, "beta"),
        ({"divisor": 0.0}, "divisor"),
        ({"box_weight": -1.0}, "box_weight"),
    ],
)
def test_options_out_of_range_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        ssdlite(**{"num_classes": 3, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"max_detections": 0},
        {"score_threshold": 1.0},
        {"nms_iou": -0.1},
        {"candidates": 5},
        {"scope": "batch"},
    ],
)
def test_detect_options_out_of_range_are_named(detector, params, examples, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        detector.detect(params, examples.image, **options)


@pytest.mark.parametrize(
    "image", [np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 32, 30, 3), np.uint8)]
)
def test_images_of_another_kind_are_refused(detector, params, image):
    with pytest.raises(ValueError, match="images has"):
        detector.predict(params, image)
