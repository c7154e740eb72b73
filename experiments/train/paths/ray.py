"""A process for each worker, and a deadline."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array

import jgc
from experiments.train.paths.path import Iterations, Job, TrainingPath
from jgc.distributed import Driver, WorkerPool, fixed_deadline, wait_for
from jgc.training import TrainState
from jgc.training._simulated import Loss, Params


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

    @contextmanager
    def open_run(job: Job) -> Iterator[Iterations]:
        plan, decoder = job.plan, job.decoder
        is_empty = plan.batch_sizes == 0
        # GD's p are 0: it waits for every worker, whatever the deadline.
        waits = not deadline or not plan.straggler_probabilities.any()
        policy = wait_for(plan.num_workers) if waits else fixed_deadline(deadline)
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
            told = plan.edge_partition[round.mask[plan.edge_worker]]
            if np.unique(told).size < plan.num_partitions:  # not all losses came
                seen = float(mean_loss(before, job.examples))
            answered = round.mask
            if asked is not None:  # who holds nothing need not be asked
                answered = answered | (asked & is_empty)
            return state, {"loss": seen, "answered": int(answered.sum())}

        yield Iterations(init, step)

    return open_run
