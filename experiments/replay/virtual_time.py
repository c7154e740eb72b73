"""Training in virtual time: the steps that a cluster would take, and when.

A round of the trace says who answered and how long was waited; the decoder says what
each partition's gradient is multiplied by. A step is one pass over the data with these
weights (`jgc.training`), so that 256 workers cost what one does. All step sizes run
at once.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.design.rules._rounds import play
from jgc.design.rules._rules import Rule
from jgc.stragglers._under_load import LoadedTrace
from jgc.training._simulated import Examples, Loss, Params, coded_gradient


class Schedule(NamedTuple):
    """The rounds of one method on one trace.

    Attributes:
        waited: seconds of each round (T,).
        coefficients: c_j of each round (T, n).
    """

    waited: Float[np.ndarray, " T"]
    coefficients: Float[np.ndarray, "T n"]


def schedule(
    plan: CodingPlan,
    decoder: Decoder,
    rule: Rule,
    latencies: LoadedTrace,
    *,
    interruptible: bool = True,
) -> Schedule:
    """What plan, decoder and rule make of a trace."""
    seconds = latencies.seconds(plan.batch_sizes / plan.num_partitions)
    rounds = play(rule, seconds, interruptible=interruptible)
    return Schedule(
        rounds.waited, np.asarray(_coefficients(decoder, plan, rounds.answered))
    )


@functools.partial(jax.jit, static_argnums=0)
def _coefficients(
    decoder: Decoder, plan: CodingPlan, answered: Array
) -> Float[Array, "T n"]:
    return decoder.coefficients(plan, answered.T).T


@functools.partial(jax.jit, static_argnames=("loss", "optimizer", "iterations"))
def losses_of(
    loss: Loss,
    optimizer: Callable[[Float[Array, ""]], optax.GradientTransformation],
    params: Params,
    examples: Examples,
    partition: Int[Array, " N"],
    coefficients: Float[Array, "T n"],
    step_sizes: Float[Array, " S"],
    *,
    iterations: int,
) -> Float[Array, "S iterations"]:
    """The mean loss before each iteration, for each step size; rounds repeat.

    Args:
        loss: as in `jgc.training`.
        optimizer: `optimizer(step_size)`, an optax transformation.
        params: to start from.
        examples: all data, a leading axis over the N examples.
        partition: of each example.
        coefficients: c_j of each round.
        step_sizes: of the mean loss.
        iterations: how many.
    """
    size = partition.shape[0]
    rounds = coefficients.shape[0]

    def run(step_size: Float[Array, ""]) -> Float[Array, " iterations"]:
        rule = optimizer(step_size)

        def step(
            carry: tuple[Params, optax.OptState], t: Int[Array, ""]
        ) -> tuple[tuple[Params, optax.OptState], Float[Array, ""]]:
            params, state = carry
            weights = coefficients[t % rounds][partition] / size
            gradient, losses = coded_gradient(loss, params, examples, weights)
            updates, state = rule.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), losses.mean()

        start = (params, rule.init(params))
        return jax.lax.scan(step, start, jnp.arange(iterations))[1]

    return jax.vmap(run)(step_sizes)


def ends(waited: Float[np.ndarray, " T"], iterations: int) -> Float[np.ndarray, " it"]:
    """When each iteration begins, in seconds from the start; rounds repeat."""
    rounds = np.resize(np.asarray(waited, np.float64), iterations)
    return np.concatenate([[0.0], np.cumsum(rounds)[:-1]])


def seconds_to(
    target: float,
    losses: Float[np.ndarray, "S iterations"],
    begins: Float[np.ndarray, " iterations"],
    least_loss: float,
) -> tuple[float, int]:
    """The least time to a share of the initial gap over all step sizes, and which.

    Infinite where no step size reaches it.
    """
    gap = np.asarray(losses, np.float64) - least_loss
    gap = np.where(np.isfinite(gap), gap, np.inf) / gap[:, :1]
    times = np.full(gap.shape[0], np.inf)
    for row, values in enumerate(gap):
        found = np.flatnonzero(values <= target)
        if found.size and found[0] > 0:
            at = int(found[0])
            above, below = np.log(values[at - 1]), np.log(max(values[at], 1e-300))
            part = (above - np.log(target)) / (above - below)
            times[row] = begins[at - 1] + part * (begins[at] - begins[at - 1])
    best = int(times.argmin())
    return float(times[best]), best
