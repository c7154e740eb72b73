import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection._boxes import encode
from jgc.detection._nms import select_detections, suppress
from tests.detection import helpers


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
    found = select_detections(
        logits,
        jnp.zeros((50, 4)),
        anchors,
        max_detections=20,
        candidates=20,
        nms_iou=1.0,
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
        lambda *a: select_detections(*a, max_detections=5, score_threshold=0.1)
    )(logits, offsets, anchors)
    np.testing.assert_array_equal(found.valid, [True] * 3 + [False] * 2)
    np.testing.assert_array_equal(found.labels[:3], labels)
    np.testing.assert_allclose(found.boxes[:3], boxes, atol=1e-5)
    np.testing.assert_allclose(found.scores[:3], jax.nn.sigmoid(certainty[:3]))
    for field in found[:3]:
        np.testing.assert_array_equal(field[3:], 0)


def test_slots_beyond_the_candidates_are_empty():
    anchors = jnp.array([[0.0, 0, 0.5, 0.5]])
    found = select_detections(
        jnp.zeros((1, 2)), jnp.zeros((1, 4)), anchors, max_detections=9
    )
    assert found.valid.sum() == 2
    assert found.boxes.shape == (9, 4)
