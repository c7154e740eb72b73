"""The optimizers that a config can name."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from jgc import optim


class Optimizer(NamedTuple):
    """An optimizer, and whether it looks at a second estimate of the gradient.

    Attributes:
        make: `make(learning_rate)`, the optax transformation.
        learning_rate: what a config starts from: the paper's.
        title: its name in print.
        single_track: for an optimizer of two tracks, whose second moment is of
            gradients decoded by the weights v of (42): the name of the one that it is
            where nothing straggles. None for the others.
    """

    make: Callable[[float], optax.GradientTransformation]
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
