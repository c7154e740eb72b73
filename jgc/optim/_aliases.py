"""Whole optimizers: compositions, nothing of their own."""

from typing import Any

import jax
import optax

from jgc import decoders
from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.optim._coding import decode
from jgc.optim._second_track import second_moment_ratio
from jgc.optim._two_track import Scalar, scale_by_two_track_adam, two_track


def coded_sgd(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    decoder: Decoder | None = None,
    momentum: Scalar | None = None,
    nesterov: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Decode, then SGD: β ← β − γ_t ĝ.

    Args:
        plan: see `decode`.
        learning_rate: γ_t, a number or a schedule.
        decoder: see `decode`; of one track.
        momentum: see `optax.sgd`.
        nesterov: see `optax.sgd`.

    Raises:
        ValueError: as `decode`, or a decoder of two tracks.

    Example:
        >>> import jgc
        >>> import numpy as np
        >>> plan = jgc.CodingPlan.from_matrix(np.eye(2), p=[0.5, 0.0])  # w = (2, 1)
        >>> optimizer = coded_sgd(plan, 0.1)
        >>> params, messages = np.zeros(1), np.array([[1.0], [3.0]])
        >>> updates, state = optimizer.update(
        ...     messages, optimizer.init(params), params,
        ...     answered=np.array([True, True]),
        ... )
        >>> updates.tolist()
        [-0.5]
    """
    _check_one_track(decoder)
    return optax.chain(
        decode(plan, decoder),
        optax.sgd(learning_rate, momentum=momentum, nesterov=nesterov),
    )


def two_track_adam(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    noise_ratio: Scalar = 1.0,
    decoder: Decoder | None = None,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
) -> optax.GradientTransformationExtraArgs:
    """Adam with the first moment from w-, the second from v-decoded gradients (42).

        m ← b1 m + (1 − b1) Σ_i I_i w_i f_i,
        ν ← b2 ν + (1 − b2) (Σ_i I_i v_i f_i)²,
        β ← β − γ_t (m/(1 − b1^t)) / (√(ν/(1 − b2^t)) + eps).

    `update` takes messages and `answered`; or `Tracks` that are decoded, as the paths
    of `jgc.training` give for a job whose decoder is `jgc.decoders.two_track(plan)`; or
    a decoded gradient alone, for codes of optimal structure, whose second track is a
    multiple of it. Equals `optax.adam` as Λ → ∞ or p → 0 for codes of optimal
    structure.

    Args:
        plan: the code, on the host; None if `update` brings both tracks decoded, or
            messages with `weights` (2, k).
        learning_rate: γ_t, a number or a schedule.
        noise_ratio: Λ > 0, how much the gradient outweighs its noise; 1 in the paper's
            experiments. Without effect where plan is None.
        decoder: of the first track; None: `jgc.decoders.fixed`.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root.

    Raises:
        ValueError: Λ is not above 0, or a decoder without a plan, of two tracks, or
            that cannot decode the plan.

    Example:
        >>> import jgc
        >>> import numpy as np
        >>> plan = jgc.CodingPlan.from_matrix(np.eye(2), p=[0.5, 0.5])  # v = 2/3 w
        >>> adam = two_track_adam(plan, 0.1)
        >>> params, messages = np.zeros(1), np.array([[1.0], [3.0]])
        >>> updates, state = adam.update(
        ...     messages, adam.init(params), params, answered=np.array([True, False])
        ... )
        >>> round(float(updates[0]), 4)
        -0.15
    """
    coded, scale = _tracks_of(plan, noise_ratio, decoder)
    return optax.chain(
        coded,
        scale_by_two_track_adam(b1, b2, eps, second_moment_scale=scale),
        optax.scale_by_learning_rate(learning_rate),
    )


def two_track_adamw(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    noise_ratio: Scalar = 1.0,
    decoder: Decoder | None = None,
    b1: Scalar = 0.9,
    b2: Scalar = 0.999,
    eps: Scalar = 1e-8,
    weight_decay: Scalar = 1e-4,
    decayed: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """`two_track_adam` with decoupled weight decay, as `optax.adamw` has it.

    Args:
        plan: see `two_track_adam`.
        learning_rate: γ_t, a number or a schedule.
        noise_ratio: Λ > 0.
        decoder: of the first track.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: added to the root.
        weight_decay: added to the direction, times the parameters.
        decayed: a pytree of bools, or a function from the parameters to one: what to
            decay (optax's `mask`). None: everything. A function needs naming in the
            `static_args` of `optax.inject_hyperparams`.

    Raises:
        ValueError: as `two_track_adam`.

    Example:
        >>> import jgc
        >>> import numpy as np
        >>> plan = jgc.codes.interval([0.5, 0.5], num_partitions=2)
        >>> adamw = two_track_adamw(plan, 0.1, weight_decay=0.5)
        >>> params, gradient = np.ones(1), np.zeros(1)
        >>> updates, state = adamw.update(gradient, adamw.init(params), params)
        >>> round(float(updates[0]), 4)
        -0.05
    """
    coded, scale = _tracks_of(plan, noise_ratio, decoder)
    return optax.chain(
        coded,
        scale_by_two_track_adam(b1, b2, eps, second_moment_scale=scale),
        optax.add_decayed_weights(weight_decay, decayed),
        optax.scale_by_learning_rate(learning_rate),
    )


def two_track_rmsprop(
    plan: CodingPlan | None,
    learning_rate: optax.ScalarOrSchedule,
    *,
    noise_ratio: Scalar = 1.0,
    decoder: Decoder | None = None,
    decay: Scalar = 0.9,
    eps: Scalar = 1e-8,
    momentum: Scalar | None = None,
) -> optax.GradientTransformationExtraArgs:
    """RMSProp that divides the w-decoded gradient by the v-decoded one's scale.

        ν ← decay ν + (1 − decay) (Σ_i I_i v_i f_i)²,
        β ← β − γ_t (Σ_i I_i w_i f_i) / √(ν + eps).

    Args:
        plan: see `two_track_adam`.
        learning_rate: γ_t, a number or a schedule.
        noise_ratio: Λ > 0.
        decoder: of the first track.
        decay: of the second moment.
        eps: added below the root, as in `optax.rmsprop`.
        momentum: decay of a trace of the updates; None: no momentum.

    Raises:
        ValueError: as `two_track_adam`.

    Example:
        >>> import jgc
        >>> import numpy as np
        >>> plan = jgc.codes.interval([0.5, 0.5], num_partitions=2)  # v = 2/3 w
        >>> rmsprop = two_track_rmsprop(plan, 0.1, decay=0.75)
        >>> params, gradient = np.zeros(1), np.ones(1)
        >>> updates, state = rmsprop.update(gradient, rmsprop.init(params), params)
        >>> round(float(updates[0]), 4)  # −0.1/√((1 − 0.75) (2/3)²)
        -0.3
    """
    coded, scale = _tracks_of(plan, noise_ratio, decoder)
    return optax.chain(
        coded,
        two_track(optax.identity(), optax.scale_by_rms(decay, eps), scale),
        optax.scale_by_learning_rate(learning_rate),
        optax.identity() if momentum is None else optax.trace(momentum),
    )


def _tracks_of(
    plan: CodingPlan | None, noise_ratio: Scalar, decoder: Decoder | None
) -> tuple[optax.GradientTransformationExtraArgs, Scalar | None]:
    """The decoding, of one track where v is a multiple of w; and that multiple."""
    _check_one_track(decoder)
    if plan is None:
        return decode(None, decoder), None
    # At 0 nothing would be decoded, and steps have no bound.
    if not isinstance(noise_ratio, jax.core.Tracer) and not noise_ratio > 0:
        raise ValueError(f"noise_ratio must be above 0, got {noise_ratio!r}")
    first = decoders.fixed if decoder is None else decoder
    if first.is_fixed and first.is_unbiased is None:  # it decodes with the plan's w
        scale = second_moment_ratio(plan, noise_ratio=noise_ratio)
        if scale is not None:
            return decode(plan, first), scale
    both = decoders.two_track(plan, noise_ratio=noise_ratio, decoder=first)
    return decode(plan, both), None


def _check_one_track(decoder: Decoder | None) -> None:
    if decoder is not None and decoder.num_tracks != 1:
        raise ValueError(
            f"decoder must have one track, got {decoder.name!r}: two-track optimizers "
            "take that of the first, and make the second themselves"
        )
