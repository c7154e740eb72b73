"""Boxes as (ymin, xmin, ymax, xmax): overlap, and offsets relative to anchors."""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

VARIANCES = (0.1, 0.2)
"""SSD's scale of the offsets: of centres, and of log sizes (Liu et al., 2016)."""

_LEAST_SIZE = 1e-6
_GREATEST_LOG_SIZE = math.log(1000 / 16)


def clip(boxes: Float[Array, "*shape 4"]) -> Float[Array, "*shape 4"]:
    """The part of each box that lies in the image, [0, 1] both ways."""
    return jnp.clip(boxes, 0.0, 1.0)


def area(boxes: Float[Array, "*shape 4"]) -> Float[Array, "*shape"]:
    """Height times width; 0 for a box whose corners are in the wrong order."""
    sizes = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sizes[..., 0] * sizes[..., 1]


def intersection(
    first: Float[Array, "*shape A 4"], second: Float[Array, "*shape B 4"]
) -> Float[Array, "*shape A B"]:
    """The area that each of A boxes shares with each of B."""
    # Coordinate by coordinate: arrays whose last axis is a pair don't vectorise.
    a = [first[..., :, None, i] for i in range(4)]
    b = [second[..., None, :, i] for i in range(4)]
    height = jnp.minimum(a[2], b[2]) - jnp.maximum(a[0], b[0])
    width = jnp.minimum(a[3], b[3]) - jnp.maximum(a[1], b[1])
    return jnp.maximum(height, 0.0) * jnp.maximum(width, 0.0)


def iou(
    first: Float[Array, "*shape A 4"], second: Float[Array, "*shape B 4"]
) -> Float[Array, "*shape A B"]:
    """Intersection over union, in [0, 1]; 0 where both boxes are empty."""
    shared = intersection(first, second)
    union = area(first)[..., :, None] + area(second)[..., None, :] - shared
    # Empty boxes share nothing, so any positive divisor gives them 0.
    return shared / jnp.where(union > 0, union, 1.0)


def encode(
    boxes: Float[Array, "*shape 4"],
    anchors: Float[Array, "*shape 4"],
    *,
    variances: Sequence[float] = VARIANCES,
) -> Float[Array, "*shape 4"]:
    """Offsets (dy, dx, dh, dw) that lead from anchors to boxes.

    With centres c and sizes s, (c_box − c_anchor) / s_anchor / variances[0] and
    log(s_box / s_anchor) / variances[1]. Sizes below 1e-6 count as 1e-6, so that
    padding has finite offsets.
    """
    centre, size = _centre_and_size(boxes)
    anchor_centre, anchor_size = _centre_and_size(anchors)
    shift = (centre - anchor_centre) / anchor_size / variances[0]
    growth = jnp.log(jnp.maximum(size, _LEAST_SIZE) / anchor_size) / variances[1]
    return jnp.concatenate([shift, growth], axis=-1)


def decode(
    offsets: Float[Array, "*shape 4"],
    anchors: Float[Array, "*shape 4"],
    *,
    variances: Sequence[float] = VARIANCES,
) -> Float[Array, "*shape 4"]:
    """The boxes that offsets lead to from anchors; the inverse of `encode`.

    A box is at most 62.5 times its anchor's height and width, so that an untrained
    network gives finite boxes.
    """
    anchor_centre, anchor_size = _centre_and_size(anchors)
    centre = anchor_centre + offsets[..., :2] * variances[0] * anchor_size
    growth = jnp.minimum(offsets[..., 2:] * variances[1], _GREATEST_LOG_SIZE)
    half = jnp.exp(growth) * anchor_size / 2
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def _centre_and_size(
    boxes: Float[Array, "*shape 4"],
) -> tuple[Float[Array, "*shape 2"], Float[Array, "*shape 2"]]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low
