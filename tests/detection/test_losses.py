import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection import (
    AnchorGrid,
    Detector,
    Examples,
    FocalLoss,
    Matches,
    Predictions,
    SoftmaxLoss,
)
from jgc.detection._boxes import encode
from jgc.detection._elementwise import sigmoid_focal_loss, smooth_l1
from jgc.detection._losses import box_loss
from jgc.detection.models import SSDLite


def _formula(logits, targets, alpha, gamma):
    """The paper's, with automatic derivatives."""
    p = jax.nn.sigmoid(logits)
    p_t = jnp.where(targets, p, 1 - p)
    alpha_t = jnp.where(targets, alpha, 1 - alpha)
    return -alpha_t * (1 - p_t) ** gamma * jnp.log(p_t)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.5, 0.0), (0.9, 1.5)])
def test_focal_loss_and_its_gradient_are_the_formulas(alpha, gamma):
    logits = jnp.linspace(-6, 6, 41)
    for targets in (jnp.zeros(41, bool), jnp.ones(41, bool)):
        value, pull = jax.vjp(
            lambda x, t=targets: sigmoid_focal_loss(x, t, alpha=alpha, gamma=gamma),
            logits,
        )
        expected, expected_pull = jax.vjp(
            lambda x, t=targets: _formula(x, t, alpha, gamma), logits
        )
        cotangent = jnp.cos(jnp.arange(41.0))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(
            pull(cotangent)[0], expected_pull(cotangent)[0], rtol=1e-3, atol=1e-6
        )


def test_focal_loss_is_finite_far_out():
    logits = jnp.array([-200.0, 200.0])
    for targets in (jnp.zeros(2, bool), jnp.ones(2, bool)):
        value, pull = jax.vjp(lambda x, t=targets: sigmoid_focal_loss(x, t), logits)
        assert jnp.isfinite(value).all()
        assert jnp.isfinite(pull(jnp.ones(2))[0]).all()


def test_smooth_l1():
    np.testing.assert_allclose(
        smooth_l1(jnp.array([-2.0, -0.5, 0.0, 0.25, 3.0]), beta=0.5),
        [1.75, 0.25, 0.0, 0.0625, 2.75],
    )


def test_smooth_l1_without_a_smooth_part():
    difference = jnp.array([-2.0, 0.0, 0.25])
    np.testing.assert_allclose(smooth_l1(difference, beta=0.0), [2.0, 0.0, 0.25])
    slope = jax.grad(lambda d: smooth_l1(d, beta=0.0).sum())(difference)
    np.testing.assert_allclose(slope[jnp.array([0, 2])], [-1.0, 1.0])


MATCHES = Matches(
    object=jnp.array([0, 1, 0, 0]),
    positive=jnp.array([True, True, False, False]),
    ignored=jnp.array([False, False, True, False]),
)


def test_focal_loss_counts_all_anchors_but_the_ignored():
    logits = jnp.array([[1.0, -1], [0.5, 2], [9.0, 9], [0.0, -2]])
    targets = jnp.array([[False, True], [True, False], [False, False]])
    np.testing.assert_allclose(
        FocalLoss()(logits, MATCHES, jnp.array([1, 0])),
        _formula(logits[jnp.array([0, 1, 3])], targets, 0.25, 2.0).sum(),
        rtol=1e-5,
    )


def test_box_loss_counts_objects_alone():
    anchors = jnp.array(
        [[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], *[[0.2, 0.2, 0.8, 0.8]] * 2]
    )
    boxes = jnp.array([[0.0, 0, 0.4, 0.5], [0.6, 0.5, 1, 1]])
    targets = encode(boxes[MATCHES.object], anchors)
    np.testing.assert_allclose(
        box_loss(jnp.ones((4, 4)), targets, MATCHES, beta=1.0),
        smooth_l1(1 - encode(boxes, anchors[:2])).sum(),
        rtol=1e-6,
    )


@pytest.mark.parametrize("negatives", [0.0, 1.5, 3.0, 100.0])
def test_softmax_loss_takes_the_hardest_negatives(negatives):
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(30, 5)).astype(np.float32)
    kind = rng.permutation(np.repeat([0, 1, 2], [4, 6, 20]))  # object, ignored, rest
    matches = Matches(
        object=jnp.asarray(np.where(kind == 0, rng.integers(0, 3, 30), 0)),
        positive=jnp.asarray(kind == 0),
        ignored=jnp.asarray(kind == 1),
    )
    labels = np.array([3, 0, 2])

    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    objects = np.flatnonzero(kind == 0)
    positive = -log_p[objects, labels[np.asarray(matches.object)[objects]] + 1].sum()
    hard = np.sort(-log_p[kind == 2, 0])[::-1][: int(negatives * 4)].sum()
    loss = SoftmaxLoss(negatives=negatives)
    np.testing.assert_allclose(
        loss(jnp.asarray(logits), matches, jnp.asarray(labels)),
        positive + hard,
        rtol=1e-5,
    )
    empty = matches._replace(positive=jnp.zeros(30, bool))
    assert loss(jnp.asarray(logits), empty, jnp.asarray(labels)) == 0


def test_softmax_ranks_leave_the_background_out():
    logits = jnp.log(jnp.array([[0.5, 0.2, 0.3]]))
    np.testing.assert_allclose(SoftmaxLoss().rank(logits), [[0.2, 0.3]], rtol=1e-6)
    assert SoftmaxLoss().outputs(90) == 91


@pytest.fixture(scope="module")
def outputs():
    """Outputs on three images with two, one and no object, and a detector for them."""
    rng = np.random.default_rng(0)
    grid = AnchorGrid(maps=((4, 4),), shapes=(((0.3, 0.3), (0.5, 0.5)),))

    def make(**options):
        return Detector(
            network=SSDLite(outputs=3, anchors=(2,)),
            anchors=grid,
            num_classes=3,
            image_shape=(32, 32),
            **options,
        )

    boxes = np.zeros((3, 2, 4), np.float32)
    boxes[0] = [[0.1, 0.1, 0.5, 0.6], [0.4, 0.5, 0.9, 0.9]]
    boxes[1, 0] = [0.2, 0.2, 0.7, 0.7]
    valid = np.array([[True, True], [True, False], [False, False]])
    examples = Examples(
        image=np.zeros((3, 32, 32, 3), np.uint8),
        boxes=boxes,
        labels=np.array([[0, 2], [1, 0], [0, 0]]),
        valid=valid,
        crowd=np.zeros_like(valid),
    )
    predictions = Predictions(
        jnp.asarray(rng.normal(size=(3, 32, 3)), jnp.float32),
        jnp.asarray(rng.normal(size=(3, 32, 4)), jnp.float32),
    )
    return make, predictions, examples


def test_an_images_divisor_is_its_own_count(outputs):
    make, predictions, examples = outputs
    own = jax.jit(make().losses_of)(predictions, examples)
    plain = jax.jit(make(divisor=1.0, box_weight=3.0).losses_of)(predictions, examples)
    count = np.maximum(make().positives(examples), 1)
    assert len(set(count.tolist())) > 1
    np.testing.assert_allclose(own.classification, plain.classification / count)
    np.testing.assert_allclose(own.box, plain.box / count / 3, rtol=1e-6)


def test_the_mean_count_as_divisor_is_the_batchs_loss(outputs):
    """Value and gradient: Σ ℓ_i / Σ n_i, which does mix images, equals a mean."""
    make, predictions, examples = outputs

    def batchs(predictions):
        sums = make(divisor=1.0).losses_of(predictions, examples)
        return sum(part.sum() for part in sums) / make().positives(examples).sum()

    mean = float(make().positives(examples).mean())

    def separable(predictions):
        losses = make(divisor=mean).losses_of(predictions, examples)
        return sum(part.mean() for part in losses)

    expected, pull = jax.jit(jax.value_and_grad(batchs))(predictions)
    value, own_pull = jax.jit(jax.value_and_grad(separable))(predictions)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for a, b in zip(own_pull, pull, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: FocalLoss(alpha=1.5), "alpha"),
        (lambda: FocalLoss(gamma=-1.0), "gamma"),
        (lambda: SoftmaxLoss(negatives=-1.0), "negatives"),
    ],
)
def test_options_out_of_range_are_named(make, name):
    with pytest.raises(ValueError, match=name):
        make()
