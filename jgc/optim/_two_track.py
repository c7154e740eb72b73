"""Optimizers whose second moment comes from a track of its own."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

_NO_SECOND_MOMENT = (
    "second must multiply each gradient by a positive factor that falls as past "
    "gradients grow, such as optax.scale_by_rms() or optax.scale_by_rss(); {found}. "
    "Momentum belongs to `first`: pass b1=0 here. Lion, sign descent and SGD divide by "
    "no second moment, so two tracks do not apply to them: chain them after "
    "jgc.optim.decode(plan)"
)


class TwoTrackState(NamedTuple):
    """States of what sees the first and of what sees the second track."""

    first: optax.OptState
    second: optax.OptState


def two_track(
    first: optax.GradientTransformation,
    second: optax.GradientTransformation,
    *,
    second_moment_scale: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`first` of one estimate of the gradient, scaled by `second` of another.

        u = first(ĝ) · s,   where second(ĝ') = ĝ' · s,

    `second` being any elementwise second-moment transformation. The core of every
    two-track optimizer: Adam is `two_track(optax.ema(b1), optax.scale_by_rms(b2, …))`,
    RMSProp `two_track(optax.identity(), optax.scale_by_rms(decay))`; `scale_by_rss`
    (Adagrad), `scale_by_amsgrad(b1=0)`, `scale_by_adamax(b1=0)` and
    `scale_by_factored_rms` serve as well.

    `update` takes ĝ, decoded with w, as updates, and ĝ', decoded with v of (42), as the
    extra argument `second_moment_updates`; without it ĝ' = `second_moment_scale`·ĝ,
    which for codes of optimal structure is the same [ours]. In `optax.multi_transform`
    pass ĝ' whole: each group takes its part. `optax.MultiSteps` averages ĝ but passes
    extra arguments of its last mini-step alone, so that ĝ' must not be passed through
    it: add both tracks up before.

    The factor s is read off as second(ĝ')/ĝ', for which entries of ĝ' whose squares
    vanish in their precision are moved off 0.

    Args:
        first: of the first track, such as a momentum.
        second: of the second track.
        second_moment_scale: ĝ'/ĝ where `second_moment_updates` is not passed, from
            `second_moment_ratio(plan, …)`; None if it always is.

    Raises:
        ValueError: `second` has no second moment; in `init`, float16 parameters, whose
            squares vanish; in `update`, no second track.
    """
    first = optax.with_extra_args_support(first)
    second = optax.with_extra_args_support(second)
    _check_has_second_moment(second)

    def init(params: optax.Params) -> TwoTrackState:
        for leaf in jax.tree.leaves(params):
            if jnp.result_type(leaf) == jnp.float16:
                raise ValueError(
                    "two_track squares gradients, which float16 cannot hold; use "
                    "bfloat16 or float32 parameters"
                )
        return TwoTrackState(first.init(params), second.init(params))

    def update(
        updates: optax.Updates,
        state: TwoTrackState,
        params: optax.Params | None = None,
        *,
        second_moment_updates: optax.Updates | None = None,
        **extra: Any,
    ) -> tuple[optax.Updates, TwoTrackState]:
        if second_moment_updates is not None:
            seen = _same_part(updates, second_moment_updates)
        elif second_moment_scale is not None:
            seen = jax.tree.map(lambda g: g * second_moment_scale, updates)
        else:
            raise ValueError(
                "this code's second track is no multiple of its first: pass "
                "second_moment_updates= (jgc.training steps do, given coefficients of "
                "two_track_coefficients, and jgc.distributed.Driver, given "
                "second_moment_weights=), or messages and answered="
            )
        seen = jax.tree.map(_off_zero, seen)
        scaled, second_state = second.update(seen, state.second, params, **extra)
        direction, first_state = first.update(updates, state.first, params, **extra)
        result = jax.tree.map(lambda u, v, g: u * (v / g), direction, scaled, seen)
        return result, TwoTrackState(first_state, second_state)

    return optax.GradientTransformationExtraArgs(init, update)


def scale_by_two_track_adam(
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    *,
    second_moment_scale: float | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """Adam's direction with its second moment from the second track.

        m ← b1 m + (1 − b1) ĝ,   ν ← b2 ν + (1 − b2) ĝ'²,
        u = (m/(1 − b1^t)) / (√(ν/(1 − b2^t)) + eps).

    `optax.scale_by_adam` when ĝ' = ĝ, and of the same memory.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root.
        second_moment_scale: see `two_track`.
    """
    return two_track(
        optax.ema(b1),
        optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        second_moment_scale=second_moment_scale,
    )


def _off_zero(gradient: Array) -> Array:
    # The least value that squares to a normal number: no second moment feels it.
    floor = jnp.sqrt(jnp.finfo(gradient.dtype).tiny).astype(gradient.dtype)
    return jnp.where(jnp.abs(gradient) < floor, floor, gradient)


def _same_part(updates: optax.Updates, whole: optax.Updates) -> optax.Updates:
    """Leaves out of `whole` what a mask around the transformation hid in `updates`."""

    def is_hidden(node: Any) -> bool:
        return isinstance(node, optax.MaskedNode)

    return jax.tree.map(
        lambda update, leaf: update if is_hidden(update) else leaf,
        updates,
        whole,
        is_leaf=is_hidden,
    )


def _check_has_second_moment(
    second: optax.GradientTransformationExtraArgs,
) -> None:
    """Tries `second` on a parameter of one entry, after small and large gradients."""

    def factors(past: float) -> list[float]:
        params = jnp.ones(1)
        _, state = second.update(jnp.full(1, past), second.init(params), params)
        return [
            float(second.update(jnp.full(1, g), state, params)[0][0]) / g
            for g in (1e-3, -1e-3)
        ]

    with jax.ensure_compile_time_eval():
        after_small, after_large = factors(1.0), factors(4.0)
    if min(after_small + after_large) <= 0:
        raise ValueError(_NO_SECOND_MOMENT.format(found="this one changes signs"))
    if not all(a > b for a, b in zip(after_small, after_large, strict=True)):
        raise ValueError(
            _NO_SECOND_MOMENT.format(found="this one does not depend on them so")
        )
