"""A small run on processes, and what it must end at."""

import chex
import jax
import numpy as np
import optax

import jgc
from jgc.distributed import ray, wait_for
from jgc.training import Job, simulated
from tests.training import problems
from tests.training.models import logistic

K, N = 3, 6
PLAN = jgc.codes.interval([0.3, 0.5, 0.4], num_partitions=N)
MODEL = logistic(N)
OPTIMIZER = optax.sgd(0.1)
KEY = jax.random.key(5)
ALL = np.ones(K, bool)


def job_of(plan=PLAN, **parts):
    """Mini-batches: whoever skips or repeats an iteration draws others."""
    return Job(plan=plan, data=MODEL.data(N, batch_size=2), **parts)


def on_processes(pool, *, job=None, policy=None, **options):
    """An open run on the workers of a pool."""
    path = ray(
        problems.loss, OPTIMIZER, pool=pool, policy=policy or wait_for(K), **options
    )
    return path(job or job_of())


def start(run):
    return run.init(KEY, MODEL.params)


def simulation(masks, job=None):
    """The parameters that these masks end at."""
    with simulated(problems.loss, OPTIMIZER)(job or job_of()) as run:
        state = start(run)
        for mask in masks:
            state, _ = run.step(state, mask)
    return state.params


def assert_is_simulated(state, masks, job=None):
    """The run is that of its masks: no stale, lost or doubled message was applied."""
    assert int(state.iteration) == len(masks)
    chex.assert_trees_all_close(
        state.params, simulation(masks, job), rtol=1e-4, atol=1e-5
    )
