"""Whole optimizers: compositions, nothing of their own."""

from collections.abc import Callable
from typing import Any

import optax

from jgc import decoders
from jgc._plan import CodingPlan
from jgc.optim._coding import decode
from jgc.optim._second_track import second_moment_ratio, with_second_track
from jgc.optim._two_track import scale_by_two_track_adam, two_track


def coded_sgd(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Decode, then SGD: β ← β − γ_t ĝ.

    Args:
        plan: see `decode`.
        learning_rate: γ_t, a number or a schedule.
        momentum: see `optax.sgd`.
        nesterov: see `optax.sgd`.

    Example:
        >>> optimizer = coded_sgd(plan, 0.1)
        >>> state = optimizer.init(params)
        >>> updates, state = optimizer.update(
        ...     messages, state, params, answered=answered
        ... )
    """
    return optax.chain(
        decode(plan), optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov)
    )


def two_track_adam(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    noise_ratio: float = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
) -> optax.GradientTransformationExtraArgs:
    """Adam with the first moment from w-, the second from v-decoded gradients (42).

        m ← b1 m + (1 − b1) Σ_i I_i w_i f_i,
        ν ← b2 ν + (1 − b2) (Σ_i I_i v_i f_i)²,
        β ← β − γ_t (m/(1 − b1^t)) / (√(ν/(1 − b2^t)) + eps).

    `update` takes messages and `answered`; or a decoded gradient alone, for codes of
    optimal structure, whose second track is a multiple of it; or both tracks decoded,
    the second as `second_moment_updates`. Equals `optax.adam` as Λ → ∞ or p → 0 for
    codes of optimal structure.

    Args:
        plan: the code, on the host; None if `update` brings both tracks decoded, or
            messages with `answered`, `plan` and `second_moment_weights`.
        learning_rate: γ_t, a number or a schedule.
        noise_ratio: Λ > 0, how much the gradient outweighs its noise; 1 in the paper's
            experiments.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root.

    Raises:
        ValueError: Λ is negative or NaN.
    """
    return _coded(
        plan,
        noise_ratio,
        lambda scale: scale_by_two_track_adam(b1, b2, eps, second_moment_scale=scale),
        optax.scale_by_learning_rate(learning_rate),
    )


def two_track_adamw(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    noise_ratio: float = 1.0,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-4,
    decayed: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`two_track_adam` with decoupled weight decay, as `optax.adamw` has it.

    Args:
        plan: see `two_track_adam`.
        learning_rate: γ_t, a number or a schedule.
        noise_ratio: Λ > 0.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root.
        weight_decay: added to the direction, times the parameters.
        decayed: a pytree of bools, or a function from the parameters to one: what to
            decay (optax's `mask`). None: everything.

    Raises:
        ValueError: Λ is negative or NaN.
    """
    return _coded(
        plan,
        noise_ratio,
        lambda scale: scale_by_two_track_adam(b1, b2, eps, second_moment_scale=scale),
        optax.add_decayed_weights(weight_decay, decayed),
        optax.scale_by_learning_rate(learning_rate),
    )


def two_track_rmsprop(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    noise_ratio: float = 1.0,
    decay: float = 0.9,
    eps: float = 1e-8,
    momentum: float | None = None,
) -> optax.GradientTransformationExtraArgs:
    """RMSProp that divides the w-decoded gradient by the v-decoded one's scale.

        ν ← decay ν + (1 − decay) (Σ_i I_i v_i f_i)²,
        β ← β − γ_t (Σ_i I_i w_i f_i) / √(ν + eps).

    Args:
        plan: see `two_track_adam`.
        learning_rate: γ_t, a number or a schedule.
        noise_ratio: Λ > 0.
        decay: of the second moment.
        eps: added below the root, as in `optax.rmsprop`.
        momentum: decay of a trace of the updates; None: no momentum.

    Raises:
        ValueError: Λ is negative or NaN.
    """
    return _coded(
        plan,
        noise_ratio,
        lambda scale: two_track(
            optax.identity(),
            optax.scale_by_rms(decay, eps),
            second_moment_scale=scale,
        ),
        optax.scale_by_learning_rate(learning_rate),
        optax.identity() if momentum is None else optax.trace(momentum),
    )


def _coded(
    plan: CodingPlan | None,
    noise_ratio: float,
    make_scaling: Callable[[Any], optax.GradientTransformation],
    *rest: optax.GradientTransformation,
) -> optax.GradientTransformationExtraArgs:
    """Decodes both tracks, scales by the second moment, then does the rest.

    `make_scaling` is given v/w where the second track is a multiple of the first.
    """
    weights, scale = _second_track(plan, noise_ratio)
    optimizer = optax.chain(decode(plan), make_scaling(scale), *rest)
    return with_second_track(optimizer, plan, second_moment_weights=weights)


def _second_track(plan: CodingPlan | None, noise_ratio: float) -> tuple[Any, Any]:
    """The weights v where they are needed, and else v/w."""
    if plan is None:
        return None, None
    if not noise_ratio > 0:  # at 0 nothing would be decoded, and steps have no bound
        raise ValueError(f"noise_ratio must be above 0, got {noise_ratio!r}")
    scale = second_moment_ratio(plan, noise_ratio=noise_ratio)
    if scale is not None:
        return None, scale
    return decoders.second_moment_weights(plan, noise_ratio=noise_ratio), None
