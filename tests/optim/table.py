"""The optimizers that tests run through, and a small problem for them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import optim

P = np.array([0.35, 0.1, 0.62, 0.2, 0.45])
N = 6
OPTIMAL = jgc.codes.interval(P, num_partitions=N)
# The second track is no multiple of the first.
OTHER = jgc.codes.stochastic(P, num_partitions=N, key=jax.random.key(0), replication=2)
PARAMS = {"weight": jnp.linspace(-1.0, 1.0, 6).reshape(3, 2), "bias": jnp.ones(3)}
MASK = jnp.array([True, False, True, True, False])


@dataclass(frozen=True)
class Alias:
    """An alias, and the optax optimizer that it is without stragglers.

    Attributes:
        make: `make(plan, learning_rate, **options)`.
        reference: `reference(learning_rate)`.
        two_track: whether it takes `noise_ratio`.
    """

    name: str
    make: Callable[..., Any]
    reference: Callable[[Any], optax.GradientTransformation]
    two_track: bool = True


ALIASES = [
    Alias("sgd", optim.coded_sgd, optax.sgd, two_track=False),
    Alias(
        "momentum",
        lambda plan, rate, **kw: optim.coded_sgd(
            plan, rate, momentum=0.9, nesterov=True, **kw
        ),
        lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
        two_track=False,
    ),
    Alias("adam", optim.two_track_adam, optax.adam),
    Alias("adamw", optim.two_track_adamw, optax.adamw),
    Alias("rmsprop", optim.two_track_rmsprop, optax.rmsprop),
    Alias(
        "rmsprop, momentum",
        lambda plan, rate, **kw: optim.two_track_rmsprop(
            plan, rate, momentum=0.9, **kw
        ),
        lambda rate: optax.rmsprop(rate, momentum=0.9),
    ),
]
every_alias = pytest.mark.parametrize("alias", ALIASES, ids=lambda alias: alias.name)
two_track_aliases = pytest.mark.parametrize(
    "alias", [a for a in ALIASES if a.two_track], ids=lambda alias: alias.name
)


def gradients(seed: int, leading: tuple[int, ...] = ()) -> dict[str, jax.Array]:
    keys = jax.random.split(jax.random.key(seed), len(PARAMS))
    return {
        name: jax.random.normal(key, leading + leaf.shape)
        for key, (name, leaf) in zip(keys, PARAMS.items(), strict=True)
    }


def messages(plan: jgc.CodingPlan, seed: int) -> dict[str, jax.Array]:
    return plan.encode(gradients(seed, (N,)))


def tracks(seed: int) -> dict[str, optim.Tracks]:
    first, second = gradients(seed), gradients(seed + 1000)
    return jax.tree.map(optim.Tracks, first, second)
