"""What a detector learns from: a class and a box loss for every image by itself."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jgc.detection.boxes import encode
from jgc.detection.matching import Matches


class Losses(NamedTuple):
    """One number an image of each kind; `sum(losses)` is what training minimises."""

    classification: Float[Array, "*batch"]
    box: Float[Array, "*batch"]


def sigmoid_focal_loss(
    logits: Float[Array, "*shape"],
    targets: Float[Array, "*shape"],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Array, "*shape"]:
    """−α_t (1 − p_t)^γ log p_t, elementwise (Lin et al., "Focal Loss", 2017).

    p_t is the probability given to the target, α_t is alpha for targets of 1 and
    1 − alpha for targets of 0.
    """
    sign = 2 * targets - 1
    log_probability = jax.nn.log_sigmoid(sign * logits)
    # 1 − p_t as a sigmoid: exact where p_t is near 1, with a finite gradient.
    wrong = jax.nn.sigmoid(-sign * logits)
    weight = alpha * targets + (1 - alpha) * (1 - targets)
    return -weight * wrong**gamma * log_probability


def smooth_l1(
    difference: Float[Array, "*shape"], *, beta: float = 1.0
) -> Float[Array, "*shape"]:
    """|d| − beta/2, and d²/(2 beta) where |d| < beta: Huber's loss over beta."""
    size = jnp.abs(difference)
    return jnp.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


def detection_losses(
    logits: Float[Array, "A C"],
    offsets: Float[Array, "A 4"],
    matches: Matches,
    anchors: Float[Array, "A 4"],
    boxes: Float[Array, "M 4"],
    labels: Int[Array, " M"],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
    beta: float = 1.0,
    box_weight: float = 1.0,
) -> Losses:
    """Losses of one image, over the number of its anchors that learn an object.

    Classes by `sigmoid_focal_loss` at every anchor that is not ignored, boxes by
    `smooth_l1` between offsets at every anchor that learns an object. The divisor is
    the image's own (1 where no anchor learns an object), so that a batch's loss is
    the sum of its images' losses.
    """
    count = jnp.maximum(matches.positive.sum(), 1)
    classes = jnp.arange(logits.shape[-1])
    learned: Bool[Array, "A C"] = matches.positive[:, None] & (
        labels[matches.object][:, None] == classes
    )
    focal = sigmoid_focal_loss(
        logits, learned.astype(logits.dtype), alpha=alpha, gamma=gamma
    )
    classification = jnp.where(matches.ignored[:, None], 0.0, focal).sum() / count

    targets = encode(boxes[matches.object], anchors)
    distance = smooth_l1(offsets - targets, beta=beta).sum(-1)
    box = jnp.where(matches.positive, distance, 0.0).sum() / count
    return Losses(classification, box_weight * box)
