"""What a detector learns from: a class and a box loss for every image by itself."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jgc.detection._boxes import encode
from jgc.detection._matching import Matches


class Losses(NamedTuple):
    """One number an image of each kind; `sum(losses)` is what training minimises."""

    classification: Float[Array, "*batch"]
    box: Float[Array, "*batch"]


def sigmoid_focal_loss(
    logits: Float[Array, "*shape"],
    targets: Bool[Array, "*shape"],
    *,
    alpha: float = 0.25,
    gamma: float = 2.0,
) -> Float[Array, "*shape"]:
    """−α_t (1 − p_t)^γ log p_t, elementwise (Lin et al., "Focal Loss", 2017).

    p_t is the probability given to the target, sigmoid of the logit or of its
    negative; α_t is alpha for true targets and 1 − alpha for the others.
    Reverse-mode differentiable in the logits.
    """
    return _focal(logits, targets, alpha, gamma)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _focal(
    logits: Float[Array, "*shape"],
    targets: Bool[Array, "*shape"],
    alpha: float,
    gamma: float,
) -> Float[Array, "*shape"]:
    return _focal_forward(logits, targets, alpha, gamma)[0]


def _focal_forward(
    logits: Float[Array, "*shape"],
    targets: Bool[Array, "*shape"],
    alpha: float,
    gamma: float,
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """The loss and its derivative: one exponential and one logarithm serve both.

    Nothing else in a step has as many elements. Left to automatic differentiation
    they are a third of a small model's time on a CPU.
    """
    margin = jnp.where(targets, logits, -logits)
    small = jnp.exp(-jnp.abs(margin))
    likely = 1 / (1 + small)
    unlikely = small * likely
    p = jnp.where(margin >= 0, likely, unlikely)
    wrong = jnp.where(margin >= 0, unlikely, likely)  # 1 − p without cancellation
    log_p = jnp.minimum(margin, 0.0) - jnp.log1p(small)
    weight = jnp.where(targets, alpha, 1 - alpha) * wrong**gamma
    slope = weight * (gamma * p * log_p - wrong)
    return -weight * log_p, jnp.where(targets, slope, -slope)


def _focal_backward(
    alpha: float,
    gamma: float,
    slope: Float[Array, "*shape"],
    cotangent: Float[Array, "*shape"],
) -> tuple[Float[Array, "*shape"], None]:
    # The barrier has the product computed once; XLA would do it again, in the wrong
    # memory order, for each use in the gradient of the layer that made the logits.
    return lax.optimization_barrier(slope * cotangent), None


_focal.defvjp(_focal_forward, _focal_backward)


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
    learned = matches.positive[:, None] & (labels[matches.object][:, None] == classes)
    focal = sigmoid_focal_loss(logits, learned, alpha=alpha, gamma=gamma)
    classification = jnp.where(matches.ignored[:, None], 0.0, focal).sum() / count

    targets = encode(boxes[matches.object], anchors)
    distance = smooth_l1(offsets - targets, beta=beta).sum(-1)
    box = jnp.where(matches.positive, distance, 0.0).sum() / count
    return Losses(classification, box_weight * box)
