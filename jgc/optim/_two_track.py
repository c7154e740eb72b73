"""Optimizers whose second moment comes from a track of its own."""

from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jgc.optim._tracks import Tracks, first_of, is_tracks

# A hyperparameter, which optax.inject_hyperparams traces.
Scalar: TypeAlias = float | Float[Array, ""]

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
    second_moment_scale: Scalar | None = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """`first` of one estimate of the gradient, scaled by `second` of another.

        u = first(ĝ) · s,   where second(ĝ') = ĝ' · s,

    `second` being any elementwise second-moment transformation. The core of every
    two-track optimizer: Adam is `two_track(optax.ema(b1), optax.scale_by_rms(b2, …))`,
    RMSProp `two_track(optax.identity(), optax.scale_by_rms(decay))`; `scale_by_rss`
    (Adagrad), `scale_by_amsgrad(b1=0)`, `scale_by_adamax(b1=0)` and
    `scale_by_factored_rms` serve as well.

    `update` takes `Tracks`: ĝ, decoded with w, and ĝ', decoded with v of (42); or ĝ
    alone, and then ĝ' = `second_moment_scale`·ĝ, which for codes of optimal structure
    is the same [ours]. What it gives has the parameters' shapes.

    The factor s is read off as second(ĝ')/ĝ', for which entries of ĝ' whose squares
    vanish in their precision are moved off 0.

    Args:
        first: of the first track, such as a momentum.
        second: of the second track; where its hyperparameters are traced, it is not
            tried out.
        second_moment_scale: ĝ'/ĝ where ĝ comes alone, from
            `second_moment_ratio(plan, …)`; None if it never may.

    Raises:
        ValueError: `second` has no second moment; in `init`, float16 parameters, whose
            squares vanish; in `update`, no second track.

    Example:
        >>> rmsprop = two_track(optax.identity(), optax.scale_by_rms(decay=0.75))
        >>> params = jnp.zeros(1)
        >>> tracks = Tracks(jnp.array([3.0]), jnp.array([2.0]))
        >>> update, state = rmsprop.update(tracks, rmsprop.init(params), params)
        >>> round(float(update[0]), 4)  # 3/√((1 − 0.75) 2²)
        3.0
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

    def second_of(node: Array | Tracks) -> Array:
        if isinstance(node, Tracks):
            return _off_zero(jnp.asarray(node.second))
        if second_moment_scale is None:
            raise ValueError(
                "this optimizer needs two tracks, and a gradient came alone: decode by "
                "jgc.decoders.two_track(plan), the decoder of jgc.training's Job or of "
                "jgc.optim.decode"
            )
        gradient = jnp.asarray(node)
        return _off_zero(gradient * jnp.asarray(second_moment_scale, gradient.dtype))

    def update(
        updates: optax.Updates,
        state: TwoTrackState,
        params: optax.Params | None = None,
        **extra: Any,
    ) -> tuple[optax.Updates, TwoTrackState]:
        seen = jax.tree.map(second_of, updates, is_leaf=is_tracks)
        scaled, second_state = second.update(seen, state.second, params, **extra)
        direction, first_state = first.update(
            first_of(updates), state.first, params, **extra
        )
        result = jax.tree.map(lambda u, v, g: u * (v / g), direction, scaled, seen)
        return result, TwoTrackState(first_state, second_state)

    return optax.GradientTransformationExtraArgs(init, update)


def scale_by_two_track_adam(
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    *,
    second_moment_scale: Scalar | None = 1.0,
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

    Raises:
        ValueError: as `two_track`, in `init` and `update`.

    Example:
        >>> adam = scale_by_two_track_adam()
        >>> params = jnp.zeros(1)
        >>> tracks = Tracks(jnp.array([3.0]), jnp.array([2.0]))
        >>> update, state = adam.update(tracks, adam.init(params), params)
        >>> round(float(update[0]), 4)
        1.5
    """
    return two_track(
        optax.ema(b1),
        optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        second_moment_scale,
    )


def _off_zero(gradient: Array) -> Array:
    # The least value that squares to a normal number: no second moment feels it.
    floor = jnp.sqrt(jnp.finfo(gradient.dtype).tiny).astype(gradient.dtype)
    return jnp.where(jnp.abs(gradient) < floor, floor, gradient)


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

    try:
        with jax.ensure_compile_time_eval():
            after_small, after_large = factors(1.0), factors(4.0)
    except jax.errors.ConcretizationTypeError:  # hyperparameters that are traced
        return
    if min(after_small + after_large) <= 0:
        raise ValueError(_NO_SECOND_MOMENT.format(found="this one changes signs"))
    if not all(a > b for a, b in zip(after_small, after_large, strict=True)):
        raise ValueError(
            _NO_SECOND_MOMENT.format(found="this one does not depend on them so")
        )
