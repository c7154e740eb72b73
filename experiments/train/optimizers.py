"""The optimizers that a config can name, and their learning rates over time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax

from jgc import optim


class Optimizer(NamedTuple):
    """An optimizer, and whether it looks at a second estimate of the gradient.

    Attributes:
        make: `make(learning_rate)`, a number or a schedule: the optax transformation.
        learning_rate: what a config starts from: the paper's.
        title: its name in print.
        single_track: for an optimizer of two tracks, whose second moment is of
            gradients decoded by the weights v of (42): the name of the one that it is
            where nothing straggles. None for the others.
    """

    make: Callable[[optax.ScalarOrSchedule], optax.GradientTransformation]
    learning_rate: float
    title: str
    single_track: str | None = None


OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(optax.sgd, 0.01, "SGD"),
    "momentum": Optimizer(
        lambda rate: optax.sgd(rate, momentum=0.9), 0.01, "SGD with momentum"
    ),
    "adam": Optimizer(optax.adam, 0.001, "Adam"),
    # Training brings both tracks decoded, so that one compiled step serves all plans.
    "two_track_adam": Optimizer(
        lambda rate: optim.two_track_adam(None, rate), 0.001, "two-track Adam", "adam"
    ),
}

DEFAULT = "sgd"

SCHEDULES = ("constant", "cosine")


def make_optimizer(
    name: str, config: Any, rate_factor: float = 1.0
) -> optax.GradientTransformation:
    """The optimizer as `config` has it: clipped, at a learning rate that changes.

    Args:
        name: of `OPTIMIZERS`.
        config: learning_rates[name], the highest; schedule, warmup_iterations,
            num_iterations and clip_norm.
        rate_factor: multiplies the learning rate.
    """
    optimizer = OPTIMIZERS[name].make(
        _learning_rate(rate_factor * config.learning_rates[name], config)
    )
    if not config.clip_norm:
        return optimizer
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), optimizer)


def _learning_rate(highest: float, config: Any) -> optax.Schedule:
    """Rises evenly from iteration 1 on, then stays or falls to 0 by half a cosine."""
    warmup = config.warmup_iterations
    left = config.num_iterations - warmup
    later = optax.constant_schedule(highest)
    if config.schedule == "cosine":
        later = optax.cosine_decay_schedule(highest, left)
    if not warmup:
        return later
    rising = optax.linear_schedule(highest / (warmup + 1), highest, warmup)
    return optax.join_schedules([rising, later], [warmup])
