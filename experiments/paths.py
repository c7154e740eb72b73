"""Where a run's iterations take place: what `config.path` names.

For the same masks every path gives the same answer. A path decides on the masks: it may
draw them, or find out which workers were late.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

import jgc
from jgc.distributed import Driver, WorkerPool, fixed_deadline, wait_for
from jgc.training import (
    TrainState,
    balance,
    device_coefficients,
    init_state,
    make_spmd_step,
    make_step,
    place_state,
    spread,
)
from jgc.training.simulated import Examples, Loss, Params


class Iterations(NamedTuple):
    """The iterations of one run.

    Attributes:
        init: `init(params, key) -> state`, before the first iteration.
        step: `step(state, key) -> (state, row)`, one iteration with a key of its own.
            The row is what is logged: "loss", the mean training loss before the step,
            and "answered", how many workers did.
    """

    init: Callable[[Params, Array], TrainState]
    step: Callable[[TrainState, Array], tuple[TrainState, dict[str, float]]]


# path(plan, decoder, examples, partition): the run's iterations, while they are open.
# Examples have a leading axis over the N examples and may be on the host.
TrainingPath: TypeAlias = Callable[
    [jgc.CodingPlan, jgc.decoders.Decoder, Examples, Int[Array, " N"]],
    AbstractContextManager[Iterations],
]


def simulated(
    loss: Loss, optimizer: optax.GradientTransformation, config: Any
) -> TrainingPath:
    """Every worker on one device, at the cost of plain gradient descent.

    The step compiles once for all runs.
    """
    coded_step = make_step(loss, optimizer, chunk_size=config.chunk_size or None)

    @contextmanager
    def open_run(
        plan: jgc.CodingPlan,
        decoder: jgc.decoders.Decoder,
        examples: Examples,
        partition: Int[Array, " N"],
    ) -> Iterator[Iterations]:
        stragglers = jgc.stragglers.bernoulli(plan.straggler_probabilities)
        examples = jax.tree.map(jnp.asarray, examples)

        def init(params: Params, key: Array) -> TrainState:
            return init_state(params, optimizer, stragglers.init(key))

        def step(state: TrainState, key: Array) -> tuple[TrainState, dict[str, float]]:
            mask, straggler_state = stragglers.sample(state.straggler_state, key)
            state, losses = coded_step(
                state._replace(straggler_state=straggler_state),
                examples,
                partition,
                _coefficients(decoder, plan, mask),
            )
            return state, {"loss": float(losses.mean()), "answered": int(mask.sum())}

        yield Iterations(init, step)

    return open_run


def spmd(
    loss: Loss, optimizer: optax.GradientTransformation, config: Any
) -> TrainingPath:
    """Workers spread over this machine's devices, each with its workers' examples.

    The step compiles again for a plan that gives a device more micro-batches.
    """
    mesh = jax.sharding.Mesh(jax.devices(), ("workers",))
    coded_step = make_spmd_step(loss, optimizer, mesh=mesh)

    @contextmanager
    def open_run(
        plan: jgc.CodingPlan,
        decoder: jgc.decoders.Decoder,
        examples: Examples,
        partition: Int[Array, " N"],
    ) -> Iterator[Iterations]:
        stragglers = jgc.stragglers.bernoulli(plan.straggler_probabilities)
        device = balance(plan.batch_sizes, num_devices=mesh.size)
        spread_examples = spread(
            lambda rows: jax.tree.map(lambda leaf: np.asarray(leaf)[rows], examples),
            partition,
            plan,
            device,
            mesh=mesh,
            micro_batch_size=config.chunk_size or None,
        )

        @jax.jit
        def coefficients(mask: Array) -> Float[Array, "D n"]:
            weights = decoder(plan, mask)
            return device_coefficients(plan, device, weights, num_devices=mesh.size)

        def init(params: Params, key: Array) -> TrainState:
            state = init_state(params, optimizer, stragglers.init(key))
            return place_state(state, mesh)

        def step(state: TrainState, key: Array) -> tuple[TrainState, dict[str, float]]:
            mask, straggler_state = stragglers.sample(state.straggler_state, key)
            state, mean_loss = coded_step(
                state._replace(straggler_state=straggler_state),
                spread_examples,
                coefficients(mask),
            )
            return state, {"loss": float(mean_loss), "answered": int(mask.sum())}

        yield Iterations(init, step)

    return open_run


def ray(
    loss: Loss, optimizer: optax.GradientTransformation, config: Any
) -> TrainingPath:
    """A process for each worker, on this machine or those of config.ray.address.

    Without config.ray.deadline, workers straggle by the masks that the other paths
    draw: those that answer are waited for. With it, they straggle by being late. The
    processes outlive a run: the next one finds them started.
    """
    pools: list[WorkerPool] = []  # one, once a run needs it
    mean_loss = jax.jit(lambda params, examples: loss(params, examples).mean())
    deadline = config.ray.deadline
    policy = fixed_deadline(deadline) if deadline else wait_for(config.num_workers)

    @contextmanager
    def open_run(
        plan: jgc.CodingPlan,
        decoder: jgc.decoders.Decoder,
        examples: Examples,
        partition: Int[Array, " N"],
    ) -> Iterator[Iterations]:
        stragglers = jgc.stragglers.bernoulli(plan.straggler_probabilities)
        if not pools:
            pools.append(WorkerPool(config.num_workers, address=config.ray.address))
        drivers: list[Driver] = []  # one, once the parameters' shapes are known

        def init(params: Params, key: Array) -> TrainState:
            driver = Driver(
                pools[0],
                loss,
                optimizer,
                plan,
                params=params,
                examples=examples,
                partition=partition,
                policy=policy,
                decoder=decoder,
                chunk_size=config.chunk_size or None,
            )
            drivers.append(driver)
            return driver.init(params, stragglers.init(key))

        def step(state: TrainState, key: Array) -> tuple[TrainState, dict[str, float]]:
            asked, before = None, state.params
            if not deadline:
                mask, straggler_state = stragglers.sample(state.straggler_state, key)
                state = state._replace(straggler_state=straggler_state)
                asked = np.asarray(mask)
            state, round = drivers[0].advance(state, asked=asked)
            seen = round.loss
            if np.isnan(seen) and not round.mask.any():  # nobody told
                seen = float(mean_loss(before, examples))
            answered = round.mask if asked is None else asked
            return state, {"loss": seen, "answered": int(answered.sum())}

        yield Iterations(init, step)

    return open_run


@functools.partial(jax.jit, static_argnums=0)
def _coefficients(
    decoder: jgc.decoders.Decoder, plan: jgc.CodingPlan, mask: Array
) -> Float[Array, " n"]:
    return decoder.coefficients(plan, mask)


PATHS: dict[str, Callable[[Loss, optax.GradientTransformation, Any], TrainingPath]] = {
    "simulated": simulated,
    "spmd": spmd,
    "ray": ray,
}
