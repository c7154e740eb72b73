import numpy as np
import pytest

import jgc
from jgc import decoders
from jgc.distributed import (
    LatencyLog,
    Waiting,
    fixed_deadline,
    wait_for,
    wait_for_error,
)
from jgc.distributed._by_worker import by_worker
from jgc.distributed._policies import mask_error

PLAN = jgc.codes.cyclic_repetition([0.2] * 4, num_partitions=4, num_stragglers=1)


def waiting(answered, elapsed):
    return Waiting(PLAN, np.array(answered, bool), elapsed)


def test_seconds_left():
    deadline, three = fixed_deadline(2.0), wait_for(3, at_most=5.0)
    assert deadline(waiting([0, 0, 0, 0], 0.5)) == 1.5
    assert deadline(waiting([1, 1, 1, 0], 2.5)) == 0
    assert wait_for(3)(waiting([1, 0, 1, 0], 1e6)) == np.inf
    assert three(waiting([1, 0, 1, 0], 1.0)) == 4.0
    assert three(waiting([1, 1, 1, 0], 1.0)) == 0
    exact = wait_for_error(1e-6, decoder=decoders.least_squares)
    assert exact(waiting([1, 1, 0, 0], 1.0)) == np.inf
    assert exact(waiting([1, 0, 1, 1], 1.0)) == 0  # the code tolerates one straggler


@pytest.mark.parametrize("similarity", [0.0, 0.3, 1.0])
def test_error_of_a_mask_is_that_of_gradients_of_the_similarity(similarity):
    plan = jgc.codes.interval([0.3, 0.5, 0.4, 0.7], num_partitions=6)
    mask = np.array([True, False, True, True])
    gram = (1 - similarity) * np.eye(6) + similarity
    missing = plan.encoding_matrix().T @ (mask * plan.weights) - 1
    expected = missing @ gram @ missing / gram.sum()
    found = mask_error(decoders.fixed, plan, mask, similarity)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fixed_deadline(0.0), "deadline must be above 0"),
        (lambda: wait_for(0), "count must be an integer ≥ 1"),
        (lambda: wait_for(1, at_most=-1.0), "at_most must be above 0"),
        (lambda: wait_for_error(-0.1), "target must be"),
        (lambda: wait_for_error(0.1, gradients=2.0), "gradients must"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_latency_log_is_a_trace_and_a_resumed_one_has_each_iteration_once(tmp_path):
    rows = np.array([[0.25, np.inf], [np.inf, np.inf], [0.5, 0.125]])
    path = tmp_path / "latencies.csv"
    with LatencyLog(path, num_workers=2) as log:
        for row in rows[[0, 1, 1, 1]]:
            log.write(row)
    with LatencyLog(path, num_workers=2, resume_from=2) as log:
        log.write(rows[2])
    trace = jgc.stragglers.load_trace(path, missing_is_late=True)
    np.testing.assert_array_equal(trace.latencies, rows.astype(np.float32))


def test_edges_go_to_those_who_hold_them():
    plan = jgc.codes.uncoded([0.1, 0.2, 0.3, 0.4], num_partitions=3)  # one has none
    held = by_worker(plan, plan.edge_partition)
    assert [list(part) for part in held] == [
        list(plan.edge_partition[plan.edge_worker == worker]) for worker in range(4)
    ]
