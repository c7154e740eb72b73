"""The optimizers that a config can name, and their learning rates over time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from jgc import optim
from jgc.training import TrainState
from jgc.training._loss import Params


class Optimizer(NamedTuple):
    """An optimizer, and whether it looks at a second estimate of the gradient.

    Attributes:
        make: `make(learning_rate)`, a number or a schedule: the optax transformation.
        learning_rate: what a config starts from: the paper's.
        title: its name in print.
        single_track: for an optimizer of two tracks, whose second moment is of
            gradients decoded by the weights v of (42): the name of the one that it is
            where nothing straggles. None for the others.
        make_decaying: `make_decaying(learning_rate, weight_decay)`; None if there is no
            such optimizer.
    """

    make: Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]
    learning_rate: float
    title: str
    single_track: str | None = None
    make_decaying: (
        Callable[[optax.ScalarOrSchedule, float], optax.GradientTransformation] | None
    ) = None


def _momentum(rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
    return optax.sgd(rate, momentum=0.9)


def _penalised(
    make: Callable[[optax.ScalarOrSchedule], optax.GradientTransformation],
) -> Callable[[optax.ScalarOrSchedule, float], optax.GradientTransformation]:
    """Decay as a part of the gradient, as SGD has it everywhere."""
    return lambda rate, decay: optax.chain(optax.add_decayed_weights(decay), make(rate))


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(optax.sgd, 0.01, "SGD", make_decaying=_penalised(optax.sgd)),
    "momentum": Optimizer(
        _momentum, 0.01, "SGD with momentum", make_decaying=_penalised(_momentum)
    ),
    "adam": Optimizer(
        optax.adam,
        0.001,
        "Adam",
        make_decaying=lambda rate, decay: optax.adamw(rate, weight_decay=decay),
    ),
    # Training brings both tracks decoded, so that one compiled step serves all plans.
    "two_track_adam": Optimizer(
        lambda rate: optim.two_track_adam(None, rate), 0.001, "two-track Adam", "adam"
    ),
}

DEFAULT = "sgd"

SCHEDULES = ("constant", "cosine", "step")
_STEP = 0.1  # a factor, as in the recipes of detectors


class Averaged(NamedTuple):
    """State of `averaging`: the mean of the parameters."""

    averaged_params: Params


def make_optimizer(name: str, config: Any) -> optax.GradientTransformation:
    """The optimizer as `config` has it: clipped, at a learning rate that changes.

    Args:
        name: of `OPTIMIZERS`.
        config: learning_rates[name], the highest; schedule, schedule_steps,
            warmup_iterations, num_iterations, clip_norm, weight_decay and ema_decay.
    """
    rate, own = _learning_rate(config.learning_rates[name], config), OPTIMIZERS[name]
    if config.weight_decay:
        assert own.make_decaying is not None
        parts = [own.make_decaying(rate, config.weight_decay)]
    else:
        parts = [own.make(rate)]
    if config.clip_norm:
        parts.insert(0, optax.clip_by_global_norm(config.clip_norm))
    if config.ema_decay:
        parts.append(averaging(config.ema_decay))
    return optax.chain(*parts) if len(parts) > 1 else parts[0]


def averaging(decay: float) -> optax.GradientTransformation:
    """Last in a chain: keeps the mean of the parameters, newer ones weighing more.

    Args:
        decay: what a parameter's weight falls by in an iteration, a factor.
    """

    def update(
        updates: optax.Updates, state: Averaged, params: Params
    ) -> tuple[optax.Updates, Averaged]:
        new = optax.apply_updates(params, updates)
        mean = optax.incremental_update(new, state.averaged_params, 1 - decay)
        return updates, Averaged(mean)

    return optax.GradientTransformation(Averaged, update)


def judged_params(state: TrainState) -> Params:
    """The parameters that a run is judged by: their mean, where one is kept."""
    mean = optax.tree_utils.tree_get(state.opt_state, "averaged_params")
    return state.params if mean is None else mean


def _learning_rate(highest: float, config: Any) -> optax.Schedule:
    """Rises evenly from iteration 1 on, then stays, or falls as config.schedule has it.

    By half a cosine to 0, or to a tenth at each of config.schedule_steps.
    """
    warmup = config.warmup_iterations
    left = config.num_iterations - warmup
    later = optax.constant_schedule(highest)
    if config.schedule == "cosine":
        later = optax.cosine_decay_schedule(highest, left)
    if config.schedule == "step":
        steps = [round(part * config.num_iterations) for part in config.schedule_steps]
        later = optax.piecewise_constant_schedule(
            highest, {max(step - warmup, 0): _STEP for step in steps}
        )
    if not warmup:
        return later
    rising = optax.linear_schedule(highest / (warmup + 1), highest, warmup)
    return optax.join_schedules([rising, later], [warmup])
