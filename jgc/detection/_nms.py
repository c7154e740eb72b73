"""From a network's outputs to detections: top candidates, then suppression by class."""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jgc.detection._boxes import clip, decode, iou
from jgc.detection._types import Detections


def suppress(
    boxes: Float[Array, "K 4"],
    labels: Int[Array, " K"],
    valid: Bool[Array, " K"],
    *,
    iou_threshold: float,
) -> Bool[Array, " K"]:
    """Greedy non-maximum suppression in each class: which boxes stay.

    Args:
        boxes: highest score first.
        labels: only boxes of one class suppress one another.
        valid: the others neither stay nor suppress.
        iou_threshold: a box falls to a better one that stays and that it overlaps by
            more than this.
    """
    rank = jnp.arange(len(boxes))
    better = rank[None, :] < rank[:, None]
    same = labels[None, :] == labels[:, None]
    rivals = (iou(boxes, boxes) > iou_threshold) & better & same

    def sweep(keep: Bool[Array, " K"]) -> Bool[Array, " K"]:
        return valid & ~(rivals & keep).any(axis=1)

    # The greedy answer is the only fixed point: box r depends on better boxes alone,
    # so it is right, and stays so, from sweep r on. Chains of boxes that suppress
    # one another in turn are short, and so is the loop.
    def unsettled(state: tuple[Array, Array]) -> Array:
        return (state[0] != state[1]).any()

    _, keep = lax.while_loop(
        unsettled, lambda state: (state[1], sweep(state[1])), (valid, sweep(valid))
    )
    return keep


def select_detections(
    logits: Float[Array, "A C"],
    offsets: Float[Array, "A 4"],
    anchors: Float[Array, "A 4"],
    *,
    max_detections: int = 100,
    score_threshold: float = 0.01,
    nms_iou: float = 0.5,
    candidates: int = 300,
) -> Detections:
    """Detections of one image; vmap for a batch.

    Every (anchor, class) pair is a candidate, so an anchor may answer for several
    classes.

    Args:
        logits: one per class, of each anchor.
        offsets: from the anchor to the box.
        anchors: as (ymin, xmin, ymax, xmax).
        max_detections: K, the slots returned.
        score_threshold: candidates at or below it are dropped, in [0, 1).
        nms_iou: see `suppress`.
        candidates: the highest scores, all classes together, that go on to
            suppression.
    """
    num_anchors, num_classes = logits.shape
    # The best pairs lie among the anchors with the best maxima (each anchor ahead of
    # one of them contributes a better pair), and sorting A numbers is far cheaper
    # than sorting A·C.
    _, likely = lax.top_k(logits.max(axis=1), min(candidates, num_anchors))
    pairs = logits[likely].reshape(-1)
    best, index = lax.top_k(pairs, min(candidates, len(pairs)))
    anchor, labels = likely[index // num_classes], index % num_classes
    scores = jax.nn.sigmoid(best)
    boxes = clip(decode(offsets[anchor], anchors[anchor]))

    valid = scores > score_threshold
    keep = suppress(boxes, labels, valid, iou_threshold=nms_iou)
    # Kept ones first, in order of score: a stable sort on "dropped".
    order = jnp.argsort(~keep, stable=True)[:max_detections]
    order = jnp.pad(order, (0, max_detections - len(order)))
    kept = keep[order] & (jnp.arange(max_detections) < keep.sum())
    return Detections(
        boxes=jnp.where(kept[:, None], boxes[order], 0.0),
        scores=jnp.where(kept, scores[order], 0.0),
        labels=jnp.where(kept, labels[order], 0).astype(jnp.int32),
        valid=kept,
    )
