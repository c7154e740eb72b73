"""Training images that are changed in each iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("dm_pix")

from experiments.train.tasks.augmentation import augmented
from jgc.detection import Examples
from jgc.training._loss import as_loss

IMAGE = jnp.asarray(
    np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3)), jnp.uint8
)
EXAMPLES = Examples(
    image=IMAGE,
    boxes=jnp.tile(jnp.array([[0.1, 0.0, 0.6, 0.3], [0.5, 0.2, 0.9, 0.5]]), (3, 1, 1)),
    labels=jnp.ones((3, 2), jnp.int32),
    valid=jnp.ones((3, 2), bool),
    crowd=jnp.zeros((3, 2), bool),
)


def seen(params, examples):
    """A loss that tells images and boxes apart."""
    pixels = examples.image.astype(jnp.float32) * jnp.arange(16.0)[:, None]
    return params * (pixels.mean((1, 2, 3)) + examples.boxes.sum((1, 2)))


def test_none_is_the_loss_itself():
    assert augmented(seen, "") is seen


@pytest.mark.parametrize("name", ["flip", "crop"])
def test_images_are_the_partitions_own(name):
    loss = as_loss(augmented(seen, name))
    assert loss.takes_key
    losses = jax.jit(lambda key: loss.function(1.0, EXAMPLES, key=key))
    found = np.array([losses(jax.random.key(seed)) for seed in range(8)])
    # The same whoever asks; another in another iteration, or of another image.
    np.testing.assert_array_equal(found[0], losses(jax.random.key(0)))
    assert len(np.unique(found[:, 0].round(3))) > 1
    plain = np.asarray(seen(1.0, EXAMPLES))
    assert np.ptp(found - plain, axis=1).max() > 0.01


def test_a_mirrored_image_has_mirrored_boxes():
    loss = as_loss(augmented(lambda params, e: e.boxes[:, 0, 1], "flip"))
    left = loss.function(1.0, EXAMPLES, key=jax.random.key(1))
    is_mirrored = np.asarray(left) > 0
    np.testing.assert_allclose(left, np.where(is_mirrored, 0.7, 0.0), rtol=1e-6)
    assert 0 < is_mirrored.sum() < 3
