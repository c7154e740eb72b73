"""Estimates on the first half of recorded traces against their second half.

`python -m benchmarks.estimation` prints the numbers.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.estimation import ESTIMATES, binomial_floor
from jgc.stragglers import estimation, load_trace

FOLDER = os.environ.get("JGC_TRACES")
PATHS = sorted(Path(FOLDER).glob("*.csv")) if FOLDER else []


@pytest.mark.skipif(FOLDER is None, reason="JGC_TRACES is not set")
@pytest.mark.parametrize("late_share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_first_half_predicts_the_second(path, late_share):
    recorded = load_trace(path)
    half = recorded.num_rounds // 2
    first, second = recorded.rounds(0, half), recorded.rounds(half, 2 * half)
    deadline = float(np.quantile(recorded.latencies, 1 - late_share))
    rate = (~second.answered(deadline)).mean(0)
    floor = binomial_floor((~recorded.answered(deadline)).mean(0), half)

    def error(name):
        return np.abs(ESTIMATES[name](first, deadline) - rate).mean()

    fitted = error("counting, fitted prior")
    assert fitted < error("same p for all")  # workers do differ
    assert fitted < 2 * floor


def test_the_floor_is_what_simulation_gives():
    p = np.array([0.05, 0.3, 0.9])
    late = np.random.default_rng(0).binomial(15, p, size=(200_000, 3))
    expected = np.abs(late / 15 - p).mean()
    assert binomial_floor(p, 15) == pytest.approx(expected, rel=0.01)


@pytest.mark.skipif(FOLDER is None, reason="JGC_TRACES is not set")
@pytest.mark.parametrize("late_share", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_intervals_of_one_half_cover_the_other(path, late_share):
    recorded = load_trace(path)
    half = recorded.num_rounds // 2
    deadline = float(np.quantile(recorded.latencies, 1 - late_share))
    halves = (
        recorded.rounds(0, half).answered(deadline),
        recorded.rounds(half, 2 * half).answered(deadline),
    )
    difference = np.abs(np.subtract(*(masks.mean(0) for masks in halves)))
    ends = [np.subtract(*estimation.record_interval(masks)[::-1]) for masks in halves]
    # Both halves err: the half-widths add as standard errors do.
    assert (difference <= np.hypot(*ends) / 2).mean() > 0.9
    # 5 rounds have no interval, where a fitted prior had one that missed by far.
    assert estimation.effective_rounds(halves[0][:5]) == 0
