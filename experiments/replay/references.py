"""Training without rounds, or with longer ones, in the same virtual time.

References outside synchronous coding, plain SGD: they answer other questions (stale or
local gradients, another fixed point), and are tuned as the methods are.
"""

import functools
import heapq
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jgc.stragglers import LoadedTrace
from jgc.training import Partitions
from jgc.training._loss import as_loss

_LOCAL_STEPS = 4


class Reference(NamedTuple):
    """Losses of each step size, and when they are reached.

    Attributes:
        losses: (S, points).
        at: seconds of each point (points,).
    """

    losses: Float[np.ndarray, "S points"]
    at: Float[np.ndarray, " points"]


def local_steps(
    loss: Any,
    params: Any,
    data: Partitions,
    latencies: LoadedTrace,
    step_sizes: np.ndarray,
    iterations: int,
) -> Reference:
    """Every worker takes 4 steps on its own data, then all are waited for and averaged.

    The work of a round is four times as much, and the rest of its seconds once.
    """
    k = latencies.recorded.num_workers
    # Four passes over a share are the work of four shares.
    waited = latencies.seconds(_LOCAL_STEPS / k).max(1)
    losses = _local(loss, params, data, jnp.asarray(step_sizes), iterations)
    rounds = np.resize(waited, iterations)
    return Reference(
        np.asarray(losses), np.concatenate([[0.0], np.cumsum(rounds)[:-1]])
    )


def asynchronous(
    loss: Any,
    params: Any,
    data: Partitions,
    latencies: LoadedTrace,
    step_sizes: np.ndarray,
    iterations: int,
) -> Reference:
    """Every worker's gradient is applied as it comes, at the parameters it was sent.

    Worker i takes its column of the trace, one row after another; nobody waits.
    """
    k = latencies.recorded.num_workers
    seconds = latencies.seconds(1 / k)
    queue = [(float(seconds[0, i]), i, 0) for i in range(k)]
    heapq.heapify(queue)
    order, at = [], []
    for _ in range(iterations * k):
        now, worker, turn = heapq.heappop(queue)
        order.append(worker)
        at.append(now)
        row = (turn + 1) % seconds.shape[0]
        heapq.heappush(queue, (now + float(seconds[row, worker]), worker, turn + 1))
    losses = _async(
        loss, params, data, jnp.asarray(step_sizes), jnp.asarray(order), iterations
    )
    points = np.concatenate([[0.0], np.asarray(at)[k - 1 :: k]])[:iterations]
    return Reference(np.asarray(losses), points)


REFERENCES: dict[str, Callable[..., Reference]] = {
    "local steps": local_steps,
    "asynchronous SGD": asynchronous,
}


def _partition_losses(loss: Any, params: Any, batch: Any) -> Float[Array, " k"]:
    """Mean loss over the data, by partition: they add up."""
    function = as_loss(loss).function
    losses = jax.vmap(lambda examples: function(params, examples))(batch.examples)
    return (batch.weights * losses).sum(1)


@functools.partial(jax.jit, static_argnames=("loss", "iterations"))
def _local(
    loss: Any,
    params: Any,
    data: Partitions,
    step_sizes: Float[Array, " S"],
    iterations: int,
) -> Float[Array, "S iterations"]:
    batch = data.batch(jax.random.key(0), 0)
    k = batch.weights.shape[0]
    function = as_loss(loss).function

    def own(params: Any, examples: Any, weights: Array) -> Array:
        return k * (weights * function(params, examples)).sum()

    def run(step_size: Array) -> Array:
        def worker(params: Any, examples: Any, weights: Array) -> Any:
            for _ in range(_LOCAL_STEPS):
                gradient = jax.grad(own)(params, examples, weights)
                params = jax.tree.map(lambda x, g: x - step_size * g, params, gradient)
            return params

        def round(params: Any, _: Array) -> tuple[Any, Array]:
            before = _partition_losses(loss, params, batch).sum()
            each = jax.vmap(worker, in_axes=(None, 0, 0))(
                params, batch.examples, batch.weights
            )
            return jax.tree.map(lambda x: x.mean(0), each), before

        return jax.lax.scan(round, params, jnp.arange(iterations))[1]

    return jax.lax.map(run, step_sizes)


@functools.partial(jax.jit, static_argnames=("loss", "iterations"))
def _async(
    loss: Any,
    params: Any,
    data: Partitions,
    step_sizes: Float[Array, " S"],
    order: Int[Array, " events"],
    iterations: int,
) -> Float[Array, "S iterations"]:
    batch = data.batch(jax.random.key(0), 0)
    k = batch.weights.shape[0]
    function = as_loss(loss).function

    def run(step_size: Array) -> Array:
        def event(state: tuple[Any, Any], worker: Array) -> tuple[Any, None]:
            params, sent = state
            old = jax.tree.map(lambda x: x[worker], sent)
            examples = jax.tree.map(lambda x: x[worker], batch.examples)
            gradient = jax.grad(
                lambda p: (batch.weights[worker] * function(p, examples)).sum()
            )(old)
            params = jax.tree.map(lambda x, g: x - step_size * g, params, gradient)
            sent = jax.tree.map(lambda x, p: x.at[worker].set(p), sent, params)
            return (params, sent), None

        def pass_(state: tuple[Any, Any], workers: Array) -> tuple[Any, Array]:
            before = _partition_losses(loss, state[0], batch).sum()
            return jax.lax.scan(event, state, workers)[0], before

        start = jax.tree.map(lambda x: jnp.broadcast_to(x, (k, *x.shape)), params)
        return jax.lax.scan(pass_, (params, start), order.reshape(iterations, k))[1]

    return jax.vmap(run)(step_sizes)
