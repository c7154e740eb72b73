"""Measured convergence: every scheme from every seed, in one compiled call."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from experiments.convergence.problem import KnownProblem, RegressionData
from jgc import CodingPlan, optim

# What is measured, by what its curve is called in print.
LAST, AVERAGE, MEAN = "E L(β_t) − L*", "E L(β̄_t) − L*", "mean E L(β_t) − L*"
DISTANCE, GRADIENT = "E‖β_t − β*‖²", "mean E‖∇L(β_t)‖²"
LOSSES = (LAST, AVERAGE, MEAN)


class Curves(NamedTuple):
    """What was measured at β_1 … β_T, over the seeds.

    Attributes:
        mean: of each scheme, at each iterate.
        standard_error: of `mean`.
        final: β_T of each scheme and seed.
    """

    mean: Float[np.ndarray, "schemes T"]
    standard_error: Float[np.ndarray, "schemes T"]
    final: Float[np.ndarray, "schemes seeds d"]


def measure(
    problem: KnownProblem,
    plans: list[CodingPlan],
    step_sizes: Float[np.ndarray, " T"],
    *,
    what: str,
    average_weights: Float[np.ndarray, " T"],
    num_seeds: int,
    seed: int = 0,
) -> Curves:
    """Runs projected coded SGD from β_1 = 0.

    Args:
        problem: what is minimised.
        plans: the schemes; a seed's workers straggle alike in all with equal p.
        step_sizes: γ_t.
        what: LAST, L(β_t) − L*; DISTANCE, ‖β_t − β*‖²; AVERAGE, L(β̄_t) − L* of the
            average so far; MEAN and GRADIENT, the averages so far of L(β_t) − L* and of
            ‖∇L(β_t)‖².
        average_weights: of β_t, or of its gradient, in the averages.
        num_seeds: runs of each scheme.
        seed: that all masks come from.
    """
    # ĝ depends on a mask through c = Bᵀ mask, b_ij = w_i a_ij, which has the same shape
    # for all codes: they stack where plans do not. Taken to the examples here, as a
    # gather in every iteration costs more than the wider product.
    num_examples = problem.partition.size
    received = [
        (plan.weights[:, None] * plan.encoding_matrix())[:, problem.partition]
        / num_examples
        for plan in plans
    ]
    answers = [1 - plan.straggler_probabilities for plan in plans]
    values, final = _run(
        problem.loss,
        what,
        problem.radius,
        problem.examples,
        jnp.asarray(np.stack(received), float),
        jnp.asarray(np.stack(answers), float),
        jnp.asarray(step_sizes, float),
        jnp.asarray(average_weights, float),
        None if problem.minimiser is None else jnp.asarray(problem.minimiser, float),
        jax.random.split(jax.random.key(seed), num_seeds),
    )
    values = np.asarray(values, np.float64)
    if what in LOSSES:
        values = values - problem.minimum
    return Curves(
        mean=values.mean(axis=1),
        standard_error=values.std(axis=1, ddof=1) / np.sqrt(num_seeds),
        final=np.asarray(final, np.float64),
    )


@partial(jax.jit, static_argnames=("loss", "what", "radius"))
def _run(
    loss: Callable[[Array, RegressionData], Float[Array, " N"]],
    what: str,
    radius: float,
    examples: RegressionData,
    received: Float[Array, "schemes k N"],
    answers: Float[Array, "schemes k"],
    step_sizes: Float[Array, " T"],
    average_weights: Float[Array, " T"],
    minimiser: Float[Array, " d"] | None,
    keys: Array,
) -> tuple[Float[Array, "schemes seeds T"], Float[Array, "schemes seeds d"]]:
    dimension = examples[0].shape[1]
    optimizer = optim.coded_sgd(None, lambda t: step_sizes[t])

    def run(received: Array, answers: Array, draws: Array) -> tuple[Array, Array]:
        def iterate(carry: tuple, inputs: tuple) -> tuple[tuple, Array]:
            beta, state, average, total = carry
            draw, weight = inputs
            weights = (draw < answers) @ received
            losses, pull_back = jax.vjp(lambda beta: loss(beta, examples), beta)
            (gradient,) = pull_back(weights)
            value = losses.mean()
            seen = value if what == MEAN else beta
            total = total + weight
            if what == GRADIENT:
                full = jax.grad(lambda beta: loss(beta, examples).mean())(beta)
                seen = full @ full
            average = average + weight / total * (seen - average)
            if what == AVERAGE:
                value = loss(average, examples).mean()
            elif what in (MEAN, GRADIENT):
                value = average
            elif what == DISTANCE:
                value = jnp.sum((beta - minimiser) ** 2)
            updates, state = optimizer.update(gradient, state, beta)
            beta = optax.apply_updates(beta, updates)
            if np.isfinite(radius):
                beta = optax.projections.projection_l2_ball(beta, radius)
            return (beta, state, average, total), value

        start = jnp.zeros(dimension)
        average = jnp.zeros(()) if what in (MEAN, GRADIENT) else start
        carry = (start, optimizer.init(start), average, jnp.zeros(()))
        (beta, *_), values = jax.lax.scan(iterate, carry, (draws, average_weights))
        return values, beta

    over_seeds = jax.vmap(run, in_axes=(None, None, 0))
    shape = (*step_sizes.shape, answers.shape[1])
    draws = jax.vmap(lambda key: jax.random.uniform(key, shape))(keys)
    return jax.vmap(over_seeds, in_axes=(0, 0, None))(received, answers, draws)
