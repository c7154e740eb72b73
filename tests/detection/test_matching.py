import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection import Matching
from tests.detection import helpers

MATCHING = jax.jit(Matching())
OPTIONS = {"positive_iou": 0.5, "negative_iou": 0.4, "crowd_overlap": 0.5}


@pytest.mark.parametrize("seed", range(6))
def test_matches_a_loop(seed):
    rng = np.random.default_rng(seed)
    anchors = helpers.random_boxes(rng, 60, least=0.1)
    boxes = helpers.random_boxes(rng, 8)
    kind = rng.integers(0, 3, 8)  # padding, object, crowd
    valid, crowd = kind == 1, kind == 2
    chosen, positive, ignored = helpers.match(anchors, boxes, valid, crowd, **OPTIONS)
    matches = MATCHING(anchors, boxes, valid, crowd)
    np.testing.assert_array_equal(matches.positive, positive)
    np.testing.assert_array_equal(matches.ignored, ignored)
    np.testing.assert_array_equal(matches.object, chosen)


def test_objects_with_one_best_anchor_get_one_each():
    anchors = jnp.array([[0.0, 0, 1, 1], [0, 0, 1, 0.5], [0.6, 0.6, 1, 1]])
    boxes = jnp.array([[0.1, 0.1, 0.9, 0.9], [0.0, 0.0, 1.0, 0.99]])
    matches = MATCHING(anchors, boxes, jnp.ones(2, bool), jnp.zeros(2, bool))
    # The second object fits the first anchor best, and leaves the first the next.
    assert matches.object[0] == 1
    assert set(np.asarray(matches.object)[np.asarray(matches.positive)]) == {0, 1}


def test_a_tiny_object_is_learned():
    anchors = jnp.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    boxes = jnp.array([[0.7, 0.7, 0.701, 0.701]])
    matches = MATCHING(anchors, boxes, jnp.ones(1, bool), jnp.zeros(1, bool))
    np.testing.assert_array_equal(matches.positive, [False, True])


def test_padding_and_empty_boxes_match_nothing():
    anchors = jnp.array([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    boxes = jnp.array([[0.0, 0, 0.5, 0.5], [0.3, 0.3, 0.3, 0.3]])
    matches = MATCHING(anchors, boxes, jnp.array([False, True]), jnp.zeros(2, bool))
    assert not matches.positive.any()
    assert not matches.ignored.any()


def test_more_objects_than_anchors():
    anchors = jnp.array([[0.0, 0, 1, 1]])
    boxes = jnp.array([[0.0, 0, 0.5, 0.5], [0.0, 0, 0.9, 1.0], [0.5, 0.5, 1, 1]])
    matches = MATCHING(anchors, boxes, jnp.ones(3, bool), jnp.zeros(3, bool))
    np.testing.assert_array_equal(matches.object, [1])


def test_anchors_in_a_crowd_are_ignored_unless_they_learn_an_object():
    anchors = jnp.array([[0.0, 0, 0.2, 0.2], [0.3, 0.3, 0.5, 0.5], [0.8, 0.8, 1, 1]])
    boxes = jnp.array([[0.0, 0, 0.6, 0.6], [0.3, 0.3, 0.5, 0.5]])
    matches = MATCHING(
        anchors, boxes, jnp.array([False, True]), jnp.array([True, False])
    )
    np.testing.assert_array_equal(matches.positive, [False, True, False])
    np.testing.assert_array_equal(matches.ignored, [True, False, False])


@pytest.mark.parametrize("padding", [0, 5])
def test_of_equal_anchors_the_nearest_learns_a_small_object(padding):
    # All sixteen anchors that hold the object overlap it alike but for rounding.
    y, x = np.meshgrid(np.arange(20) / 20, np.arange(20) / 20, indexing="ij")
    low = np.stack([y, x], axis=-1).reshape(-1, 2) + 0.013
    anchors = np.concatenate([low, low + 0.2], axis=-1).astype(np.float32)
    boxes = np.zeros((1 + padding, 4), np.float32)
    boxes[0] = [0.513, 0.418, 0.523, 0.428]
    slots = np.arange(1 + padding) == 0
    overlap = np.array([helpers.iou(anchor, boxes[0]) for anchor in anchors])
    tied = np.isclose(overlap, overlap.max(), rtol=1e-4)
    assert tied.sum() == 16
    matches = MATCHING(anchors, boxes, slots, np.zeros_like(slots))
    assert matches.positive.sum() == 1
    chosen = int(matches.positive.argmax())
    distance = np.linalg.norm(low + 0.1 - [0.518, 0.423], axis=-1)
    assert tied[chosen]
    assert chosen == np.where(tied, distance, np.inf).argmin()
    assert chosen != tied.argmax()


def test_the_second_of_two_equal_objects_gets_the_next_nearest_anchor():
    low = np.stack([np.zeros(5), np.arange(5) * 0.05], axis=-1)
    anchors = np.concatenate([low, low + np.array([1.0, 0.5])], axis=-1).astype(
        np.float32
    )
    boxes = np.tile(np.array([0.45, 0.33, 0.5, 0.36], np.float32), (2, 1))
    matches = MATCHING(anchors, boxes, np.ones(2, bool), np.zeros(2, bool))
    np.testing.assert_array_equal(np.flatnonzero(matches.positive), [1, 2])
    np.testing.assert_array_equal(matches.object[1:3], [1, 0])


def test_forced_rules_differ_where_objects_share_a_best_anchor():
    anchors = jnp.array([[0.0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0, 1, 0.5]])
    boxes = jnp.array([[0.0, 0.6, 0.1, 0.7], [0.0, 0.6, 0.1, 0.7], [0, 0.1, 0.1, 0.19]])
    found = {
        forced: jax.jit(Matching(forced=forced))(
            anchors, boxes, jnp.ones(3, bool), jnp.zeros(3, bool)
        )
        for forced in ("one_each", "best", "all_best")
    }
    positive = {name: m.positive.tolist() for name, m in found.items()}
    objects = {name: m.object.tolist() for name, m in found.items()}
    # The second object overlaps the first anchor alone, which the first has taken.
    assert positive["one_each"] == [True, True, False]
    assert objects["one_each"][:2] == [0, 2]
    # The last object to choose an anchor has it; no second anchor for a tie.
    assert positive["best"] == [True, True, False]
    assert objects["best"][:2] == [1, 2]
    # Both anchors that tie for the third object, each with its own best object.
    assert positive["all_best"] == [True, True, True]
    assert objects["all_best"] == [0, 2, 2]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"negative_iou": 0.6}, "negative_iou"),
        ({"positive_iou": 1.5}, "positive_iou"),
        ({"crowd_overlap": 0.0}, "crowd_overlap"),
        ({"forced": "most"}, "one_each"),
    ],
)
def test_options_out_of_range_are_named(options, name):
    with pytest.raises(ValueError, match=name):
        Matching(**options)
