"""Training in virtual time: the steps that a cluster would take, and when.

A round of the trace says who answered and how long was waited; the decoder says what
each partition's gradient is multiplied by. A step is one pass over the data with these
coefficients (`jgc.training.coded_gradient`), so that 256 workers cost what one does.
All step sizes run at once.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from jgc.training import Partitions, coded_gradient

# optimizer(step_size): an optax transformation.
Optimizer = Callable[[Float[Array, ""]], optax.GradientTransformation]


@functools.partial(jax.jit, static_argnames=("loss", "optimizer", "iterations"))
def losses_of(
    loss: Any,
    optimizer: Optimizer,
    params: Any,
    data: Partitions,
    coefficients: Float[Array, "T n"],
    step_sizes: Float[Array, " S"],
    *,
    iterations: int,
) -> Float[Array, "S iterations"]:
    """The mean loss before each iteration, for each step size; rounds repeat.

    Args:
        loss: as in `jgc.training`.
        optimizer: of a step size.
        params: to start from.
        data: the examples in the plan's partitions.
        coefficients: c_j of each round.
        step_sizes: of the mean loss.
        iterations: how many.
    """
    rounds = coefficients.shape[0]
    share = jnp.asarray(data.size) / data.num_examples

    def run(step_size: Float[Array, ""]) -> Float[Array, " iterations"]:
        rule = optimizer(step_size)

        def step(
            carry: tuple[Any, optax.OptState], t: Int[Array, ""]
        ) -> tuple[tuple[Any, optax.OptState], Float[Array, ""]]:
            params, state = carry
            batch = data.batch(jax.random.key(0), t)
            found = coded_gradient(
                loss, params, batch, coefficients[t % rounds], key=jax.random.key(t)
            )
            updates, state = rule.update(found.gradient, state, params)
            mean = (share * found.losses).sum()
            return (optax.apply_updates(params, updates), state), mean

        start = (params, rule.init(params))
        return jax.lax.scan(step, start, jnp.arange(iterations))[1]

    return jax.vmap(run)(step_sizes)


def begins(
    waited: Float[np.ndarray, " T"], iterations: int
) -> Float[np.ndarray, " iterations"]:
    """When each iteration begins, in seconds from the start; rounds repeat."""
    rounds = np.resize(np.asarray(waited, np.float64), iterations)
    return np.concatenate([[0.0], np.cumsum(rounds)[:-1]])


def seconds_to(
    target: float,
    losses: Float[np.ndarray, "S iterations"],
    at: Float[np.ndarray, " iterations"],
    least_loss: float,
) -> tuple[float, int]:
    """The least time to a share of the initial gap over all step sizes, and which.

    Between two iterations the gap is taken to fall geometrically, so that one
    iteration more or less does not hide what a second is worth. Infinite where no step
    size reaches the target.

    Args:
        target: the share.
        losses: of each step size, before each iteration.
        at: when the iterations begin.
        least_loss: L*.
    """
    gap = np.asarray(losses, np.float64) - least_loss
    gap = np.where(np.isfinite(gap), gap, np.inf) / gap[:, :1]
    times = np.full(gap.shape[0], np.inf)
    for row, values in enumerate(gap):
        found = np.flatnonzero(values <= target)
        if found.size and found[0] > 0:
            i = int(found[0])
            above, below = np.log(values[i - 1]), np.log(max(values[i], 1e-300))
            part = (above - np.log(target)) / (above - below)
            times[row] = at[i - 1] + part * (at[i] - at[i - 1])
    best = int(times.argmin())
    return float(times[best]), best
