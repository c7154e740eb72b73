import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection._boxes import encode
from jgc.detection._losses import detection_losses, sigmoid_focal_loss, smooth_l1
from jgc.detection._matching import Matches


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


def test_losses_are_over_the_images_own_matches():
    anchors = jnp.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], [0.2, 0.2, 0.8, 0.8]])
    boxes = jnp.array([[0.0, 0, 0.4, 0.5], [0.6, 0.5, 1, 1]])
    matches = Matches(
        object=jnp.array([0, 1, 0]),
        positive=jnp.array([True, True, False]),
        ignored=jnp.array([False, False, True]),
    )
    logits = jnp.array([[1.0, -1], [0.5, 2], [9.0, 9]])
    offsets = jnp.ones((3, 4))
    losses = detection_losses(
        logits, offsets, matches, anchors, boxes, jnp.array([1, 0]), box_weight=3.0
    )
    targets = jnp.array([[False, True], [True, False]])
    np.testing.assert_allclose(
        losses.classification,
        _formula(logits[:2], targets, 0.25, 2.0).sum() / 2,
        rtol=1e-5,
    )
    distance = smooth_l1(offsets[:2] - encode(boxes, anchors[:2])).sum() / 2
    np.testing.assert_allclose(losses.box, 3 * distance, rtol=1e-6)
