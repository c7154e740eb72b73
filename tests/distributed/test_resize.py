"""Workers that leave and join for good: the run goes on with another k."""

import functools

import chex
import numpy as np
import pytest

import jgc
from jgc.design import replan
from jgc.distributed import WorkerPool, wait_for
from jgc.training import simulated
from tests.distributed.helpers import (
    KEY,
    OPTIMIZER,
    PLAN,
    K,
    N,
    job_of,
    on_processes,
    start,
)
from tests.training import problems

pytestmark = pytest.mark.slow

CODE = functools.partial(jgc.codes.interval, num_partitions=N)


def steps(run, state, count=2):
    """Of everyone who is asked, on mini-batches that differ between iterations."""
    for _ in range(count):
        state, report = run.step(state)
        assert report.answered.all()
    return state


def changes():
    """Worker 1 leaves, then two join, and one that stays changes its number."""
    plans, job = [PLAN], job_of()
    for was in ([0, 2], [1, 0, -1, -1]):
        p = [0.3] * len(was)
        plans.append(replan(plans[-1], CODE, p, was=was).plan)
        job = job_of(plans[-1])
        yield was, job


def test_a_run_goes_on_with_other_workers(ray_cluster):
    with simulated(problems.loss, OPTIMIZER)(job_of()) as run:
        expected = start(run)
        for _ in range(2):
            expected, _ = run.step(expected, np.ones(K, bool))
    with WorkerPool(K) as pool:
        with on_processes(pool, policy=wait_for(K)) as run:
            state = steps(run, start(run))
        for was, job in changes():
            k = len(was)
            with simulated(problems.loss, OPTIMIZER)(job) as run:
                start(run)
                for _ in range(2):
                    expected, _ = run.step(expected, np.ones(k, bool))
            before = [slot.actor for slot in pool._slots]
            pool.resize(was)
            assert pool.num_workers == k
            with on_processes(pool, job=job, policy=wait_for(k)) as run:
                run.init(KEY, state.params)  # sets the workers up
                state = steps(run, state)
            # Who stays keeps its process.
            now = [slot.actor for slot in pool._slots]
            kept = {w: actor for w, actor in zip(was, now, strict=True) if w >= 0}
            assert all(actor is before[w] for w, actor in kept.items())
    assert int(state.iteration) == 6
    chex.assert_trees_all_close(state.params, expected.params, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("was", [[], [0, 0], [1], [-2]])
def test_bad_numbers(ray_cluster, was):
    with WorkerPool(1) as pool, pytest.raises(ValueError, match="pool's 1 workers"):
        pool.resize(was)


def test_who_joins_gets_the_process_of_a_spare(ray_cluster):
    joined = [0, 1, 2, -1]
    job = job_of(replan(PLAN, CODE, [0.3] * len(joined), was=joined).plan)
    with WorkerPool(K, spares=1) as pool:
        with on_processes(pool) as run:
            state = steps(run, start(run))
        spare = pool._spares[0].actor
        pool.resize(joined)
        assert pool._slots[-1].actor is spare
        assert pool._spares[0].actor is not spare
        with on_processes(pool, job=job, policy=wait_for(K + 1)) as run:
            start(run)
            steps(run, state)
