import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection._boxes import encode
from jgc.detection._nms import Selection, select_detections, suppress
from tests.detection import helpers

select = jax.jit(select_detections, static_argnames=("selection", "levels"))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_suppression_is_the_greedy_one(seed, threshold):
    rng = np.random.default_rng(seed)
    boxes = helpers.random_boxes(rng, 80)
    labels = rng.integers(0, 3, 80)
    valid = rng.random(80) < 0.8
    keep = jax.jit(suppress, static_argnames="iou_threshold")(
        jnp.asarray(boxes), labels, valid, iou_threshold=threshold
    )
    np.testing.assert_array_equal(keep, helpers.nms(boxes, labels, valid, threshold))


def test_a_chain_settles():
    # Each box overlaps its neighbours alone: every second one stays.
    start = jnp.arange(30) * 0.1
    boxes = jnp.stack([start * 0, start, start * 0 + 1, start + 0.15], axis=-1)
    keep = suppress(boxes, jnp.zeros(30), jnp.ones(30, bool), iou_threshold=0.1)
    np.testing.assert_array_equal(keep, np.arange(30) % 2 == 0)


def test_candidates_are_the_best_pairs():
    rng = np.random.default_rng(0)
    anchors = jnp.asarray(helpers.random_boxes(rng, 50, most=0.3))
    logits = jnp.asarray(rng.normal(size=(50, 7)), jnp.float32)
    found = select(
        logits,
        jnp.zeros((50, 4)),
        anchors,
        selection=Selection(max_detections=20, candidates=20, nms_iou=1.0),
    )
    best = np.sort(jax.nn.sigmoid(logits).ravel())[::-1][:20]
    np.testing.assert_allclose(found.scores, best, rtol=1e-6)
    assert found.valid.all()


def test_perfect_outputs_give_the_objects():
    rng = np.random.default_rng(1)
    anchors = jnp.asarray(helpers.random_boxes(rng, 40, least=0.2))
    boxes = jnp.array(
        [[0.1, 0.1, 0.5, 0.4], [0.3, 0.6, 0.9, 0.9], [0.1, 0.1, 0.5, 0.4]]
    )
    labels = jnp.array([2, 0, 1])
    # Two anchors see each object, the second one less surely.
    seen = jnp.array([0, 1, 2, 0, 1, 2])
    certainty = jnp.array([5.0, 4, 3, 2, 1, 0.5])
    logits = jnp.full((40, 3), -9.0).at[jnp.arange(6), labels[seen]].set(certainty)
    offsets = jnp.zeros((40, 4)).at[:6].set(encode(boxes[seen], anchors[:6]))
    found = jax.jit(
        lambda *a: select_detections(
            *a, selection=Selection(max_detections=5, score_threshold=0.1)
        )
    )(logits, offsets, anchors)
    np.testing.assert_array_equal(found.valid, [True] * 3 + [False] * 2)
    np.testing.assert_array_equal(found.labels[:3], labels)
    np.testing.assert_allclose(found.boxes[:3], boxes, atol=1e-5)
    np.testing.assert_allclose(found.scores[:3], jax.nn.sigmoid(certainty[:3]))
    for field in found[:3]:
        np.testing.assert_array_equal(field[3:], 0)


def test_slots_beyond_the_candidates_are_empty():
    anchors = jnp.array([[0.0, 0, 0.5, 0.5]])
    found = select(
        jnp.zeros((1, 2)),
        jnp.zeros((1, 4)),
        anchors,
        selection=Selection(max_detections=9),
    )
    assert found.valid.sum() == 2
    assert found.boxes.shape == (9, 4)


@pytest.mark.parametrize("scope", ["level", "class"])
def test_candidates_by_scope_are_a_loops(scope):
    rng = np.random.default_rng(2)
    anchors = helpers.random_boxes(rng, 60, most=0.3)
    logits = rng.normal(size=(60, 5)).astype(np.float32)
    levels = (40, 15, 5)
    selection = Selection(
        max_detections=30, candidates=30, nms_iou=0.3, score_threshold=0.4, scope=scope
    )
    found = select(
        jnp.asarray(logits),
        jnp.zeros((60, 4)),
        jnp.asarray(anchors),
        selection=selection,
        levels=levels,
    )

    level = np.repeat(np.arange(3), levels)
    pairs = []
    groups = [(level == i)[:, None] & np.ones(5, bool) for i in range(3)]
    if scope == "class":
        groups = [np.ones(60, bool)[:, None] & (np.arange(5) == c) for c in range(5)]
    for group in groups:
        members = [(logits[a, c], a, c) for a, c in np.argwhere(group)]
        pairs += sorted(members, reverse=True)[:30]
    pairs = [p for p in sorted(pairs, reverse=True) if p[0] > np.log(0.4 / 0.6)]
    anchor, labels = np.array([p[1] for p in pairs]), np.array([p[2] for p in pairs])
    boxes = np.clip(anchors[anchor], 0, 1)
    keep = np.flatnonzero(helpers.nms(boxes, labels, np.ones(len(pairs), bool), 0.3))
    keep = keep[:30]
    assert found.valid.sum() == len(keep)
    np.testing.assert_array_equal(found.labels[: len(keep)], labels[keep])
    np.testing.assert_allclose(found.boxes[: len(keep)], boxes[keep], atol=1e-6)


def test_boxes_are_relative_to_the_image_not_its_padding():
    anchors = jnp.array([[0.0, 0.0, 0.3, 0.4], [0.3, 0.4, 0.9, 0.9]])
    logits = jnp.array([[2.0], [1.0]])
    found = select(logits, jnp.zeros((2, 4)), anchors, extent=jnp.array([0.6, 0.8]))
    expected = [[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]]
    np.testing.assert_allclose(found.boxes[:2], expected, atol=1e-6)
