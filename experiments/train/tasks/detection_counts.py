"""What of the objects in images is found, doubled or made up, as a person sees it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jgc.detection import Detections, Examples
from jgc.detection._boxes import area, intersection, iou

SCORE_THRESHOLD = 0.3
"""Detections below it are not shown, and do not count."""

_FOUND_IOU = 0.5


class Counts(NamedTuple):
    """Of each of N images.

    Attributes:
        objects: to be found, crowds left out.
        found: those that a detection of their class overlaps by an IoU of 0.5 or more.
        doubled: further detections of objects found, of any class.
        mistaken: other detections: of nothing, or of an object as another class.
    """

    objects: Int[np.ndarray, " N"]
    found: Int[np.ndarray, " N"]
    doubled: Int[np.ndarray, " N"]
    mistaken: Int[np.ndarray, " N"]


def count(detections: Detections, examples: Examples) -> Counts:
    """Counts detections of a score of `SCORE_THRESHOLD` or more, best first.

    One that lies in a crowd by half or more counts as nothing.

    Args:
        detections: of N images, sorted by score.
        examples: the same images.
    """
    overlaps, shares = (
        np.asarray(leaf) for leaf in _overlaps(detections.boxes, examples.boxes)
    )
    _, scores, labels, exists = (np.asarray(leaf) for leaf in detections)
    is_object, is_crowd = np.asarray(examples.valid), np.asarray(examples.crowd)
    shown = exists & (scores >= SCORE_THRESHOLD)
    every = np.arange(len(shown))
    found = np.zeros_like(is_object)
    doubled, mistaken = np.zeros((2, len(shown)), int)
    for rank in range(int(shown.sum(1).max(initial=0))):
        hits = (overlaps[:, rank] >= _FOUND_IOU) & shown[:, rank, None]
        is_same = np.asarray(examples.labels) == labels[:, rank, None]
        new = hits & is_object & is_same & ~found
        best = np.where(new, overlaps[:, rank], -1.0).argmax(1)
        is_new = new.any(1)
        again = ~is_new & (hits & found).any(1)
        in_crowd = (is_crowd & (shares[:, rank] >= 0.5)).any(1)
        doubled += again
        mistaken += shown[:, rank] & ~is_new & ~again & ~in_crowd
        found[every[is_new], best[is_new]] = True
    return Counts(is_object.sum(1), found.sum(1), doubled, mistaken)


def shares(counts: Counts) -> dict[str, float]:
    """Of all images: "found", "doubled" and "mistaken" for each object."""
    total = max(int(counts.objects.sum()), 1)
    return {
        name: float(each.sum()) / total
        for name, each in counts._asdict().items()
        if name != "objects"
    }


@jax.jit
@jax.vmap
def _overlaps(
    boxes: Float[Array, "K 4"], objects: Float[Array, "M 4"]
) -> tuple[Float[Array, "K M"], Float[Array, "K M"]]:
    """IoU, and the share of each box that lies in each object."""
    own = jnp.maximum(area(boxes), 1e-9)  # slots without a detection are empty
    return iou(boxes, objects), intersection(boxes, objects) / own[:, None]
