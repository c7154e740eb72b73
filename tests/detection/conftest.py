"""A detector small enough for tests, and examples for it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection import Examples, ssdlite


@pytest.fixture(scope="session")
def detector():
    return ssdlite(num_classes=3, image_size=32, width=0.25, strides=(8, 16, 32))


@pytest.fixture(scope="session")
def params(detector):
    return jax.jit(detector.init)(jax.random.key(0))


@pytest.fixture(scope="session")
def examples():
    """Four images: three objects, one, one and a crowd, none."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.5, (4, 3, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.2, 0.5, (4, 3, 2))], axis=-1)
    valid = np.array([[1, 1, 1], [1, 0, 0], [1, 0, 0], [0, 0, 0]], bool)
    crowd = np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 0]], bool)
    boxes[1, 0] = [0.0, 0.0, 1.0, 1.0]  # for the map of one pixel to learn
    boxes *= (valid | crowd)[..., None]
    return Examples(
        image=jnp.asarray(rng.integers(0, 256, (4, 32, 32, 3)), jnp.uint8),
        boxes=jnp.asarray(boxes, jnp.float32),
        labels=jnp.asarray(rng.integers(0, 3, (4, 3)) * valid, jnp.int32),
        valid=jnp.asarray(valid),
        crowd=jnp.asarray(crowd),
    )
