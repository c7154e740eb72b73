"""From a network's outputs to detections: top candidates, then suppression by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jgc.detection._boxes import VARIANCES, clip, decode, iou
from jgc.detection._checks import check
from jgc.detection._losses import ClassLoss, FocalLoss
from jgc.detection._types import Detections

SCOPES = ("image", "level", "class")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which (anchor, class) pairs become detections: an anchor may answer for several.

    Attributes:
        max_detections: K, slots an image; COCO scores at most 100.
        score_threshold: drop scores at or below it, in [0, 1).
        nms_iou: drop a box that overlaps a better one of its class by more.
        candidates: the highest scores that go on to suppression, at least
            `max_detections`.
        scope: where that many are taken: in the "image", on each feature map ("level",
            torchvision's RetinaNet) or of each "class" (torchvision's SSD).

    Raises:
        ValueError: a field is out of its range.
    """

    max_detections: int = 100
    score_threshold: float = 0.01
    nms_iou: float = 0.5
    candidates: int = 300
    scope: str = "image"

    def __post_init__(self) -> None:
        most, least = self.max_detections, self.score_threshold
        check("max_detections", most, most >= 1, "at least 1")
        check("score_threshold", least, 0 <= least < 1, "in [0, 1)")
        check("nms_iou", self.nms_iou, 0 <= self.nms_iou <= 1, "in [0, 1]")
        check(
            "candidates",
            self.candidates,
            self.candidates >= most,
            f"at least max_detections, {most}",
        )
        check("scope", self.scope, self.scope in SCOPES, f"one of {SCOPES}")


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
    logits: Float[Array, "A L"],
    offsets: Float[Array, "A 4"],
    anchors: Float[Array, "A 4"],
    *,
    selection: Selection | None = None,
    classes: ClassLoss | None = None,
    variances: Sequence[float] = VARIANCES,
    levels: Sequence[int] | None = None,
    extent: Float[Array, "2"] | None = None,
) -> Detections:
    """Detections of one image; vmap for a batch.

    Args:
        logits: of each anchor, as `classes` asks for them.
        offsets: from the anchor to the box.
        anchors: as (ymin, xmin, ymax, xmax).
        selection: which pairs stay. Default: `Selection()`.
        classes: what the logits mean. Default: `FocalLoss()`, a sigmoid a class.
        variances: the scale of the offsets.
        levels: the number of anchors on each feature map, for `scope="level"`.
        extent: the height and width that the image takes of what the network saw, in
            (0, 1]; the rest is padding. Detections are relative to the image.
    """
    selection = Selection() if selection is None else selection
    classes = FocalLoss() if classes is None else classes
    ranks = classes.rank(logits)
    if selection.scope == "class":
        best, anchor, labels = _best_by_class(ranks, selection.candidates)
    else:
        sizes = [len(ranks)]
        if selection.scope == "level" and levels is not None:
            sizes = list(levels)
        best, anchor, labels = _best_by_level(ranks, sizes, selection.candidates)
    boxes = decode(offsets[anchor], anchors[anchor], variances=variances)
    if extent is not None:
        boxes /= jnp.concatenate([extent, extent])
    boxes = clip(boxes)
    scores = classes.score(best)

    valid = scores > selection.score_threshold
    keep = jax.vmap(
        lambda *group: suppress(*group, iou_threshold=selection.nms_iou)
    )(boxes, labels, valid)  # fmt: skip
    boxes, scores = boxes.reshape(-1, 4), scores.reshape(-1)
    labels, keep = labels.reshape(-1), keep.reshape(-1)
    slots = selection.max_detections
    _, order = lax.top_k(jnp.where(keep, scores, -1.0), min(slots, len(keep)))
    order = jnp.pad(order, (0, slots - len(order)))
    kept = keep[order] & (jnp.arange(slots) < keep.sum())
    return Detections(
        boxes=jnp.where(kept[:, None], boxes[order], 0.0),
        scores=jnp.where(kept, scores[order], 0.0),
        labels=jnp.where(kept, labels[order], 0).astype(jnp.int32),
        valid=kept,
    )


Candidates = tuple[Float[Array, "G K"], Int[Array, "G K"], Int[Array, "G K"]]
"""Rank, anchor and label of each; suppression is within each of G groups."""


def _best_by_level(
    ranks: Float[Array, "A C"], sizes: Sequence[int], count: int
) -> Candidates:
    """The best pairs of each level, all in one group, best first."""
    num_classes = ranks.shape[1]
    best, anchors, labels = [], [], []
    start = 0
    for size in sizes:
        level = ranks[start : start + size]
        # The best pairs lie among the anchors with the best maxima (each anchor ahead
        # of one of them contributes a better pair), and sorting A numbers is far
        # cheaper than sorting A·C.
        _, likely = lax.top_k(level.max(axis=1), min(count, size))
        pairs = level[likely].reshape(-1)
        values, index = lax.top_k(pairs, min(count, len(pairs)))
        best.append(values)
        anchors.append(start + likely[index // num_classes])
        labels.append(index % num_classes)
        start += size
    ranked = jnp.concatenate(best)
    order = jnp.argsort(-ranked, stable=True)
    anchor, label = jnp.concatenate(anchors)[order], jnp.concatenate(labels)[order]
    return ranked[order][None], anchor[None], label[None]


def _best_by_class(ranks: Float[Array, "A C"], count: int) -> Candidates:
    """The best anchors of each class, a group each."""
    best, anchor = lax.top_k(ranks.T, min(count, len(ranks)))
    labels = jnp.broadcast_to(jnp.arange(len(best))[:, None], best.shape)
    return best, anchor, labels
