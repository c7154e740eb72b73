"""Every worker on one device, by the gradient that the master would have decoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import optax
from jaxtyping import Array, Float

import jgc
from experiments.train.feeds import open_feed
from experiments.train.paths.path import Iterations, Job, TrainingPath
from jgc import optim
from jgc.training import TrainState, init_state, make_step
from jgc.training._simulated import Loss, Params


def simulated(
    loss: Loss, optimizer: optax.GradientTransformation, config: Any
) -> TrainingPath:
    """Every worker on one device, at the cost of plain gradient descent.

    The step compiles once for all runs.
    """
    coded_step = make_step(loss, optimizer, chunk_size=config.chunk_size or None)

    @contextmanager
    def open_run(job: Job) -> Iterator[Iterations]:
        plan, decoder = job.plan, job.decoder
        stragglers = jgc.stragglers.bernoulli(plan.straggler_probabilities)

        def init(params: Params, key: Array) -> TrainState:
            return init_state(params, optimizer, stragglers.init(key))

        def step(state: TrainState, key: Array) -> tuple[TrainState, dict[str, float]]:
            mask, straggler_state = stragglers.sample(state.straggler_state, key)
            coefficients = _coefficients(decoder, plan, job.second_moment_weights, mask)
            state, losses = coded_step(
                state._replace(straggler_state=straggler_state),
                feed.examples(int(state.iteration) + 1),
                feed.partition,
                feed.scale * coefficients,
            )
            row = {"loss": feed.mean_loss(losses), "answered": int(mask.sum())}
            return state, row

        with open_feed(
            job.examples,
            job.partition,
            num_partitions=plan.num_partitions,
            batch_size=config.batch_size,
            key=job.batch_key,
        ) as feed:
            yield Iterations(init, step)

    return open_run


@jax.jit
def _coefficients(
    decoder: jgc.decoders.Decoder,
    plan: jgc.CodingPlan,
    second_moment_weights: Array | None,
    mask: Array,
) -> Float[Array, "*tracks n"]:
    if second_moment_weights is None:
        return decoder.coefficients(plan, mask)
    return optim.two_track_coefficients(
        plan, second_moment_weights, mask, decoder=decoder
    )
