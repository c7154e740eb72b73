"""Which anchor learns which object: fixed shapes, any number of padded slots."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jgc.detection._boxes import area, intersection, iou


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


def match(
    anchors: Float[Array, "A 4"],
    boxes: Float[Array, "M 4"],
    valid: Bool[Array, " M"],
    crowd: Bool[Array, " M"],
    *,
    positive_iou: float = 0.5,
    negative_iou: float = 0.4,
    crowd_overlap: float = 0.5,
) -> Matches:
    """Match one image's anchors to its objects; vmap for a batch.

    An anchor learns the object it overlaps most, if by `positive_iou` or more; below
    `negative_iou` it learns background; between the two it is ignored, as it is
    where `crowd_overlap` of it or more lies in a crowd box. Besides, every object
    gets the anchor that overlaps it most and is not yet given to another one (objects
    with the best such anchor choose first), however little that is, so that no
    object goes unlearned.

    Args:
        anchors: in any units; those of `boxes`.
        boxes: padded to M slots.
        valid: slots with an object to learn; the others' boxes may be anything finite.
        crowd: slots with a crowd box.
        positive_iou: in (0, 1].
        negative_iou: in (0, positive_iou].
        crowd_overlap: share of the anchor's own area, in (0, 1].
    """
    overlap = jnp.where(valid, iou(anchors, boxes), 0.0)
    best = overlap.max(axis=1)
    near = best >= negative_iou
    positive = best >= positive_iou
    chosen = jnp.where(positive, overlap.argmax(axis=1), 0)

    own = _own_anchors(overlap)
    chosen = jnp.where(own >= 0, own, chosen)
    positive |= own >= 0

    shared = intersection(anchors, boxes) / area(anchors)[:, None]
    in_crowd = (crowd & (shared >= crowd_overlap)).any(axis=1)
    return Matches(chosen, positive, ~positive & (near | in_crowd))


def _own_anchors(overlap: Float[Array, "A M"]) -> Int[Array, " A"]:
    """The object that each anchor is reserved for, −1 for none: at most one each."""
    count = len(overlap)
    order = jnp.argsort(-overlap.max(axis=0))

    def reserve(owner: Int[Array, " A"], slot: Array) -> tuple[Int[Array, " A"], None]:
        free = jnp.where(owner < 0, overlap[:, slot], 0.0)
        anchor = free.argmax()
        # An object without any overlap left (padding has none at all) takes nothing.
        target = jnp.where(free[anchor] > 0, anchor, count)
        return owner.at[target].set(slot.astype(owner.dtype), mode="drop"), None

    owner, _ = lax.scan(reserve, jnp.full(count, -1, jnp.int32), order)
    return owner
