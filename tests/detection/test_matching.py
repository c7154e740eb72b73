import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection._matching import match
from tests.detection import helpers

OPTIONS = {"positive_iou": 0.5, "negative_iou": 0.4, "crowd_overlap": 0.5}


@pytest.mark.parametrize("seed", range(6))
def test_matches_a_loop(seed):
    rng = np.random.default_rng(seed)
    anchors = helpers.random_boxes(rng, 60, least=0.1)
    boxes = helpers.random_boxes(rng, 8)
    kind = rng.integers(0, 3, 8)  # padding, object, crowd
    valid, crowd = kind == 1, kind == 2
    chosen, positive, ignored = helpers.match(anchors, boxes, valid, crowd, **OPTIONS)
    matches = jax.jit(match)(anchors, boxes, valid, crowd)
    np.testing.assert_array_equal(matches.positive, positive)
    np.testing.assert_array_equal(matches.ignored, ignored)
    np.testing.assert_array_equal(matches.object, chosen)


def test_objects_with_one_best_anchor_get_one_each():
    anchors = jnp.array([[0.0, 0, 1, 1], [0, 0, 1, 0.5], [0.6, 0.6, 1, 1]])
    boxes = jnp.array([[0.1, 0.1, 0.9, 0.9], [0.0, 0.0, 1.0, 0.99]])
    matches = match(anchors, boxes, jnp.ones(2, bool), jnp.zeros(2, bool))
    # The second object fits the first anchor best, and leaves the first the next.
    assert matches.object[0] == 1
    assert set(np.asarray(matches.object)[np.asarray(matches.positive)]) == {0, 1}


def test_a_tiny_object_is_learned():
    anchors = jnp.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    boxes = jnp.array([[0.7, 0.7, 0.701, 0.701]])
    matches = match(anchors, boxes, jnp.ones(1, bool), jnp.zeros(1, bool))
    np.testing.assert_array_equal(matches.positive, [False, True])


def test_padding_and_empty_boxes_match_nothing():
    anchors = jnp.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    boxes = jnp.array([[0.0, 0, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3]])
    matches = match(anchors, boxes, jnp.array([False, True]), jnp.zeros(2, bool))
    assert not matches.positive.any()
    assert not matches.ignored.any()


def test_more_objects_than_anchors():
    anchors = jnp.array([[0.0, 0, 1, 1]])
    boxes = jnp.array([[0.0, 0, 0.5, 0.5], [0.0, 0, 0.9, 1.0], [0.5, 0.5, 1, 1]])
    matches = match(anchors, boxes, jnp.ones(3, bool), jnp.zeros(3, bool))
    np.testing.assert_array_equal(matches.object, [1])


def test_anchors_in_a_crowd_are_ignored_unless_they_learn_an_object():
    anchors = jnp.array([[0.0, 0, 0.2, 0.2], [0.3, 0.3, 0.5, 0.5], [0.8, 0.8, 1, 1]])
    boxes = jnp.array([[0.0, 0, 0.6, 0.6], [0.3, 0.3, 0.5, 0.5]])
    matches = match(anchors, boxes, jnp.array([False, True]), jnp.array([True, False]))
    np.testing.assert_array_equal(matches.positive, [False, True, False])
    np.testing.assert_array_equal(matches.ignored, [True, False, False])
