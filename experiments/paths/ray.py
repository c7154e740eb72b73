"""A process for each worker, and a deadline."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array

import jgc
from experiments.paths.path import Iterations, Job, TrainingPath
from jgc.distributed import Driver, WorkerPool, fixed_deadline, wait_for
from jgc.training import TrainState
from jgc.training.simulated import Loss, Params


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
    def open_run(job: Job) -> Iterator[Iterations]:
        plan, decoder = job.plan, job.decoder
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
                examples=job.examples,
                partition=job.partition,
                policy=policy,
                decoder=decoder,
                second_moment_weights=job.second_moment_weights,
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
                seen = float(mean_loss(before, job.examples))
            answered = round.mask if asked is None else asked
            return state, {"loss": seen, "answered": int(answered.sum())}

        yield Iterations(init, step)

    return open_run
