import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jgc.detection import _boxes as bx
from tests.detection import helpers

coordinate = st.floats(-0.25, 1.0)
side = st.floats(0.02, 1.0)
box = st.tuples(coordinate, coordinate, side, side).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@settings(deadline=None)
@given(box, box)
def test_decode_inverts_encode(target, anchor):
    target, anchor = jnp.asarray(target), jnp.asarray(anchor)
    # Sides are at most 50 times the anchor's, below decode's limit of 62.5.
    back = bx.decode(bx.encode(target, anchor), anchor)
    np.testing.assert_allclose(back, target, atol=1e-4)


def test_encode_follows_the_paper():
    anchor = jnp.array([0.2, 0.2, 0.4, 0.6])
    target = jnp.array([0.3, 0.2, 0.5, 0.4])  # centre +0.1, −0.1; size ×1, ×1/2
    expected = [0.1 / 0.2 / 0.1, -0.1 / 0.4 / 0.1, 0.0, np.log(0.5) / 0.2]
    np.testing.assert_allclose(bx.encode(target, anchor), expected, atol=1e-4)


def test_padding_has_finite_offsets():
    offsets = bx.encode(jnp.zeros(4), jnp.array([0.2, 0.2, 0.4, 0.6]))
    assert jnp.isfinite(offsets).all()


def test_decode_of_huge_offsets_is_finite():
    assert jnp.isfinite(bx.decode(jnp.full(4, 1e4), jnp.array([0.0, 0, 1, 1]))).all()


@pytest.mark.parametrize("seed", range(3))
def test_iou_matches_a_loop(seed):
    rng = np.random.default_rng(seed)
    first, second = helpers.random_boxes(rng, 17), helpers.random_boxes(rng, 9)
    expected = [[helpers.iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(bx.iou(first, second), expected, atol=1e-6)


def test_iou_is_batched():
    rng = np.random.default_rng(0)
    first = helpers.random_boxes(rng, 12).reshape(3, 4, 4)
    second = helpers.random_boxes(rng, 15).reshape(3, 5, 4)
    np.testing.assert_array_equal(
        bx.iou(first, second), jax.vmap(bx.iou)(first, second)
    )


def test_empty_boxes_overlap_nothing():
    empty, unit = jnp.zeros((2, 4)), jnp.array([[0.0, 0, 1, 1]])
    np.testing.assert_array_equal(bx.iou(empty, empty), 0)
    np.testing.assert_array_equal(bx.iou(empty, unit), 0)


def test_clip_keeps_to_the_image():
    clipped = bx.clip(jnp.array([-0.5, 0.25, 0.5, 1.5]))
    np.testing.assert_array_equal(clipped, [0, 0.25, 0.5, 1])
