"""Which anchor learns which object: fixed shapes, any number of padded slots."""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jgc.detection._boxes import area, intersection, iou
from jgc.detection._checks import check

FORCED = ("one_each", "best", "all_best")

# Overlaps that differ by less, relatively, are equal but for rounding.
_TIE = 1e-5


class Matches(NamedTuple):
    """For each anchor of one image, what it is taught.

    Attributes:
        object: the slot of the object it learns; 0 where it learns none.
        positive: it learns an object.
        ignored: it learns nothing, not even to be background.
    """

    object: Int[Array, " A"]
    positive: Bool[Array, " A"]
    ignored: Bool[Array, " A"]


@dataclass(frozen=True, kw_only=True)
class Matching:
    """The rule by which an image's anchors are matched to its objects.

    An anchor learns the object it overlaps most, if by `positive_iou` or more; below
    `negative_iou` it learns background; between the two it is ignored, as it is where
    `crowd_overlap` of it or more lies in a crowd box. Besides, `forced` gives every
    object that overlaps any anchor at least one, however little the overlap is:

    - "one_each": the anchor that overlaps it most among those that no object chose
      before it, objects with the best such anchor first, and of equally good anchors
      the one whose centre is nearest. No object goes unlearned.
    - "best": the anchor that overlaps it most, the first of equals; the last of
      several objects that choose one anchor has it. torchvision's SSD.
    - "all_best": all anchors that overlap it most learn the object that they
      themselves overlap most. torchvision's RetinaNet.

    An object small beside its anchors lies inside many of them and overlaps all alike:
    in COCO at 320 pixels, two objects of three tie among a median of 24 anchors of
    SSDLite. The first of them is 0.22 anchor sizes off, the nearest 0.07.

    Attributes:
        positive_iou: in (0, 1].
        negative_iou: in (0, positive_iou].
        crowd_overlap: share of the anchor's own area, in (0, 1].
        forced: see above.

    Raises:
        ValueError: a number is out of range, or there is no such `forced`.
    """

    positive_iou: float = 0.5
    negative_iou: float = 0.4
    crowd_overlap: float = 0.5
    forced: str = "one_each"

    def __post_init__(self) -> None:
        check(
            "positive_iou and negative_iou",
            (self.positive_iou, self.negative_iou),
            0 < self.negative_iou <= self.positive_iou <= 1,
            "0 < negative_iou <= positive_iou <= 1",
        )
        check(
            "crowd_overlap",
            self.crowd_overlap,
            0 < self.crowd_overlap <= 1,
            "in (0, 1]",
        )
        check("forced", self.forced, self.forced in FORCED, f"one of {FORCED}")

    def __call__(
        self,
        anchors: Float[Array, "A 4"],
        boxes: Float[Array, "M 4"],
        valid: Bool[Array, " M"],
        crowd: Bool[Array, " M"],
    ) -> Matches:
        """Match one image's anchors; vmap for a batch.

        Args:
            anchors: in any units; those of `boxes`.
            boxes: padded to M slots.
            valid: slots with an object to learn; the others' boxes may be anything
                finite.
            crowd: slots with a crowd box.
        """
        anchors, boxes = jnp.asarray(anchors), jnp.asarray(boxes)
        # Anchors last: they are many, and slots few.
        overlap = jnp.where(valid[:, None], iou(boxes, anchors), 0.0)
        best = overlap.max(axis=0)
        slot = jnp.arange(len(boxes), dtype=jnp.int32)[:, None]
        closest = jnp.where(overlap == best, slot, len(boxes)).min(axis=0)
        near = best >= self.negative_iou
        positive = best >= self.positive_iou
        if self.forced == "one_each":
            own = _one_each(overlap, anchors, boxes)
        elif self.forced == "best":
            own = _best(overlap)
        else:
            own = jnp.where(_ties(overlap).any(axis=0), closest, -1)
        chosen = jnp.where(own >= 0, own, jnp.where(positive, closest, 0))
        positive |= own >= 0

        shared = intersection(boxes, anchors) / area(anchors)
        in_crowd = (crowd[:, None] & (shared >= self.crowd_overlap)).any(axis=0)
        return Matches(chosen, positive, ~positive & (near | in_crowd))


def _ties(overlap: Float[Array, "*M A"]) -> Bool[Array, "*M A"]:
    """The anchors with the most overlap, but for rounding; none where it is 0."""
    most = overlap.max(axis=-1, keepdims=True)
    return (overlap >= most * (1 - _TIE)) & (most > 0)


def _best(overlap: Float[Array, "M A"]) -> Int[Array, " A"]:
    """The last object of which each anchor is the first best, −1 for none."""
    slots, count = overlap.shape
    tied = _ties(overlap)
    first = jnp.where(tied.any(axis=1), tied.argmax(axis=1), count)
    owner = jnp.full(count, -1, jnp.int32)
    return owner.at[first].max(jnp.arange(slots, dtype=jnp.int32), mode="drop")


def _one_each(
    overlap: Float[Array, "M A"],
    anchors: Float[Array, "A 4"],
    boxes: Float[Array, "M 4"],
) -> Int[Array, " A"]:
    """The object that each anchor is reserved for, −1 for none: at most one each."""
    slots, count = overlap.shape
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    y, x = (anchors[:, 0] + anchors[:, 2]) / 2, (anchors[:, 1] + anchors[:, 3]) / 2

    def choose(overlap: Float[Array, "*M A"], middle: Float[Array, "*M 2"]) -> Array:
        """The nearest of the best anchors; `count`, which is none, without overlap."""
        tied = _ties(overlap)
        distance = (y - middle[..., :1]) ** 2 + (x - middle[..., 1:]) ** 2
        distance = jnp.where(tied, distance, jnp.inf)
        # As argmin, which XLA does not vectorise on a CPU.
        nearest = tied & (distance == distance.min(axis=-1, keepdims=True))
        return jnp.where(nearest, jnp.arange(count), count).min(axis=-1)

    # All choose at once. A choice is the greedy one unless an object with an earlier
    # turn has it: then the first of those chooses again among what is left, and so on.
    # Few need to, and each pass over the anchors costs as much as all the rest.
    order = jnp.argsort(-overlap.max(axis=1))
    turn = jnp.arange(slots)
    before = turn[None, :] < turn[:, None]

    def taken(choice: Int[Array, " M"]) -> Bool[Array, " M"]:
        same = (choice[None, :] == choice[:, None]) & (choice < count)
        return (same & before).any(axis=1)

    def settle(choice: Int[Array, " M"]) -> Int[Array, " M"]:
        first = taken(choice).argmax()
        left = jnp.where(turn < first, choice, count)
        free = jnp.ones(count, bool).at[left].set(False, mode="drop")
        slot = order[first]
        again = choose(jnp.where(free, overlap[slot], 0.0), middle[slot])
        return choice.at[first].set(again)

    choice = lax.while_loop(
        lambda choice: taken(choice).any(), settle, choose(overlap, middle)[order]
    )
    owner = jnp.full(count, -1, jnp.int32)
    return owner.at[choice].set(order.astype(jnp.int32), mode="drop")
