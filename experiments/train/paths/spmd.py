"""Workers spread over this machine's devices, each with its workers' examples."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
import optax
from jaxtyping import Array, Float

import jgc
from experiments.train.paths.path import Iterations, Job, TrainingPath
from jgc import optim
from jgc.training import (
    TrainState,
    balance,
    device_coefficients,
    init_state,
    make_spmd_step,
    place_state,
    spread,
)
from jgc.training._simulated import Loss, Params


def spmd(
    loss: Loss, optimizer: optax.GradientTransformation, config: Any
) -> TrainingPath:
    """Workers spread over this machine's devices, each with its workers' examples.

    The step compiles again for a plan that gives a device more micro-batches.
    """
    mesh = jax.sharding.Mesh(jax.devices(), ("workers",))
    coded_step = make_spmd_step(loss, optimizer, mesh=mesh)

    @contextmanager
    def open_run(job: Job) -> Iterator[Iterations]:
        plan, decoder = job.plan, job.decoder
        stragglers = jgc.stragglers.bernoulli(plan.straggler_probabilities)
        device = balance(plan.batch_sizes, num_devices=mesh.size)
        examples = jax.tree.map(np.asarray, job.examples)
        spread_examples = spread(
            lambda rows: jax.tree.map(lambda leaf: leaf[rows], examples),
            job.partition,
            plan,
            device,
            mesh=mesh,
            micro_batch_size=config.chunk_size or None,
        )

        @jax.jit
        def coefficients(mask: Array) -> Float[Array, "*tracks D n"]:
            if job.second_moment_weights is None:
                weights = decoder(plan, mask)
            else:
                weights = optim.two_track_weights(
                    plan, job.second_moment_weights, mask, decoder=decoder
                )
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
