"""Elementwise losses: focal for classes, smooth L1 for boxes."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float


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
    """|d| − beta/2, and d²/(2 beta) where |d| < beta: Huber's loss over beta.

    |d| where beta is 0.
    """
    size = jnp.abs(difference)
    if beta == 0:
        return size
    return jnp.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)
