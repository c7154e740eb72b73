"""The second track of a code: its ratio to the first, its weights, its gradient."""

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from jgc import decoders
from jgc._plan import CodingPlan
from jgc.optim._coding import decode_messages

# v and w proportional to this are so by design, and differ by rounding.
_ROUNDING = 1e-9


def second_moment_ratio(plan: CodingPlan, *, noise_ratio: float = 1.0) -> float | None:
    """κ with v = κ w, or None if the second-moment weights are no multiple of w.

    For codes of optimal structure κ = ΛD/(1 + ΛD) [ours]: then the second track is one
    scalar, at no cost.

    Args:
        plan: the code, on the host.
        noise_ratio: Λ ≥ 0, may be infinite.
    """
    w = np.asarray(plan.weights, np.float64)
    v = decoders.second_moment_weights(plan, noise_ratio=noise_ratio)
    # A worker without data, or that never answers, contributes to neither.
    counts = (plan.batch_sizes > 0) & (np.asarray(plan.straggler_probabilities) < 1)
    w, v = w[counts], v[counts]
    largest = np.argmax(np.abs(w))
    if w[largest] == 0:
        return None
    ratio = v[largest] / w[largest]
    is_multiple = (np.abs(v - ratio * w) <= _ROUNDING * np.abs(ratio * w)).all()
    return float(ratio) if is_multiple else None


def with_second_track(
    optimizer: optax.GradientTransformation,
    plan: CodingPlan | None = None,
    *,
    second_moment_weights: Float[np.ndarray | Array, " k"] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Decodes messages with v as well, for the `two_track` inside `optimizer`.

    Given messages and `answered`, passes Σ_i I_i v_i f_i on as `second_moment_updates`;
    `optimizer` begins with `decode`, which makes the first track of the same messages.
    Given a decoded gradient it changes nothing.

    Args:
        optimizer: such as `optax.chain(decode(plan), scale_by_two_track_adam(), …)`.
        plan: the code; the extra argument `plan` of `update` takes its place, and then
            needs the extra argument `second_moment_weights` beside it.
        second_moment_weights: v of (42); None leaves the second track to `optimizer`'s
            `second_moment_scale`.

    Raises:
        ValueError: in `update`, a plan without its second-moment weights.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    own_plan, own_weights = plan, second_moment_weights

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        answered: Bool[Array, " k"] | None = None,
        plan: CodingPlan | None = None,
        second_moment_weights: Float[Array, " k"] | None = None,
        **extra: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        if plan is not None:
            extra["plan"] = plan
            if second_moment_weights is None:
                raise ValueError(
                    "update with plan= needs second_moment_weights= too: "
                    "jgc.decoders.second_moment_weights of that plan"
                )
        if answered is not None:
            extra["answered"] = answered
            code = own_plan if plan is None else plan
            weights = (
                own_weights
                if second_moment_weights is None
                else (second_moment_weights)
            )
            if weights is not None:
                second = None if code is None else replace(code, weights=weights)
                extra["second_moment_updates"] = decode_messages(
                    second, updates, answered
                )
        return optimizer.update(updates, state, params, **extra)

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def two_track_coefficients(
    plan: CodingPlan,
    second_moment_weights: Float[np.ndarray | Array, " k"],
    answered: Bool[Array, " k"],
    *,
    decoder: decoders.Decoder = decoders.fixed,
) -> Float[Array, "2 n"]:
    """What g_j is multiplied by in either track, for `jgc.training.make_step`.

    Args:
        plan: the code.
        second_moment_weights: v of (42).
        answered: I_i, whether worker i answered in time.
        decoder: of the first track. Weights that depend on who answered have no v of
            their own in the paper: the second track keeps the v of the code.
    """
    return jnp.stack(
        [
            decoder.coefficients(plan, answered),
            decoders.fixed.coefficients(
                replace(plan, weights=second_moment_weights), answered
            ),
        ]
    )


def two_track_weights(
    plan: CodingPlan,
    second_moment_weights: Float[np.ndarray | Array, " k"],
    answered: Bool[Array, " k"],
    *,
    decoder: decoders.Decoder = decoders.fixed,
) -> Float[Array, "2 k"]:
    """What the message f_i is multiplied by in either track, 0 where none came.

    Args:
        plan: the code.
        second_moment_weights: v of (42).
        answered: I_i, whether worker i answered in time.
        decoder: of the first track, as in `two_track_coefficients`.
    """
    first = decoder(plan, answered)
    second = jnp.asarray(second_moment_weights, first.dtype)
    return jnp.stack([first, jnp.where(answered, second, 0)])
