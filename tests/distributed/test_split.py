"""Workers that send each partition's message when it is done, in real processes."""

import numpy as np
import pytest

import jgc
from jgc.distributed import WorkerPool, faults, wait_for
from tests.distributed.helpers import (
    N,
    assert_is_simulated,
    job_of,
    on_processes,
    start,
)

pytestmark = pytest.mark.slow

# Both hold everything, and begin at different ends.
PAIR = jgc.codes.fractional_repetition([0.2, 0.2], num_partitions=N, replication=2)
PARTS = jgc.codes.split(PAIR)
FIRST, SECOND = (np.flatnonzero(PARTS.worker == i) for i in range(2))


@pytest.fixture(scope="module")
def pool(ray_cluster):
    with WorkerPool(2) as pool:
        yield pool


def test_what_a_late_worker_has_finished_is_used(pool):
    job = job_of(PARTS.plan, decoder=jgc.decoders.rescaled)
    enough = [2 * N, N + 1, N + 1, 2 * N]
    with on_processes(
        pool,
        job=job,
        policy=lambda waiting: wait_for(enough[len(masks)])(waiting),
        hosts=PARTS.worker,
        faults=[
            # Held up after its first partition; lost after its second.
            faults.delay(worker=int(SECOND[1]), iteration=1, seconds=60.0),
            faults.kill(worker=int(FIRST[2]), iteration=3),
        ],
    ) as run:
        state, masks = start(run), []
        for t in range(4):
            state, report = run.step(state)
            masks.append(report.answered)
            if t == 2:
                # What was not begun has been dropped: no 60 seconds, and it takes part.
                assert report.seconds < 30
                assert report.answered[SECOND].any()
    assert masks[0].all()
    assert masks[1][FIRST].all()
    np.testing.assert_array_equal(np.flatnonzero(masks[1][SECOND]), [0])
    # The process in the lost one's place goes on where that was.
    assert masks[3].all()
    assert report.details.lost == 1
    assert_is_simulated(state, masks, job)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_several_workers_in_a_process(pool, chunk_size):
    """Of several partitions each, more of them in one pass than another has."""
    options = {"policy": wait_for(3), "hosts": [1, 0, 1], "chunk_size": chunk_size}
    masks = np.array([[True, False, True], [False, True, True], [True] * 3])
    with on_processes(pool, **options) as run:
        state = start(run)
        for mask in masks:
            state, report = run.step(state, mask)
            np.testing.assert_array_equal(report.answered, mask)
    assert_is_simulated(state, masks)


def test_processes_that_are_not_there(pool):
    with (
        pytest.raises(ValueError, match="hosts must"),
        on_processes(pool, hosts=[0, 1, 2]),
    ):
        pass
