import numpy as np
import pytest

from jgc import codes, residual, stragglers
from jgc.design import (
    best_deadline,
    deadline_curve,
    draw_deadlines,
    trace_survival,
)
from jgc.stragglers.estimation import JEFFREYS, BetaPrior, fit_shifted_exponential

RATE, SHIFT = np.array([0.5, 2.0, 1.0, 4.0]), np.array([1.0, 1.2, 0.9, 1.5])
MODEL = stragglers.shifted_exponential(RATE, shift=SHIFT)


def time_by_hand(p, tau, overhead=0.0):
    return (tau + overhead) * (1 + 1 / np.sum((1 - p) / p))


@pytest.mark.parametrize("overhead", [0.0, 0.7])
def test_curve_is_the_formula_and_the_error_of_an_optimal_code(overhead):
    curve = deadline_curve(MODEL.survival, [2.0, 1.1, 5.0], overhead=overhead)
    np.testing.assert_array_equal(curve.deadlines, [1.1, 2.0, 5.0])
    for i, tau in enumerate(curve.deadlines):
        p = MODEL.survival(tau)
        plan = codes.interval(p, num_partitions=4)
        assert curve.error[i] == pytest.approx(residual.exact(plan).mean / 16)
        assert curve.time[i] == pytest.approx(time_by_hand(p, tau, overhead))
    assert curve.best == curve.time.argmin()


@pytest.mark.parametrize("overhead", [0.0, 0.5, 20.0])
def test_best_of_a_model_against_brute_force(overhead):
    found = best_deadline(MODEL, overhead=overhead)
    grid = np.linspace(0.91, 12, 200_001)
    p = np.exp(-RATE * np.maximum(grid[:, None] - SHIFT, 0))
    with np.errstate(divide="ignore"):
        time = (grid + overhead) * (1 + 1 / ((1 - p) / p).sum(1))
    assert found == pytest.approx(grid[time.argmin()], abs=2e-4)


@pytest.mark.parametrize("overhead", [0.0, 3.0])
def test_best_of_a_trace_against_brute_force(overhead):
    rng = np.random.default_rng(0)
    recorded = stragglers.trace(SHIFT + rng.exponential(size=(40, 4)) / RATE)
    survival = trace_survival(recorded, prior=JEFFREYS)
    times = {
        tau: time_by_hand(survival(tau), tau, overhead)
        for tau in np.linspace(0.9, 10, 40_001)
    }
    found = best_deadline(recorded, overhead=overhead, prior=JEFFREYS)
    mine = time_by_hand(survival(found), found, overhead)
    assert found in recorded.latencies
    assert mine <= min(times.values())
    assert found == pytest.approx(min(times, key=times.get), abs=5e-4)


def test_trace_and_model_agree_in_the_long_run():
    rng = np.random.default_rng(0)
    seconds = SHIFT + rng.exponential(size=(5000, 4)) / RATE
    truth = best_deadline(MODEL)
    assert best_deadline(stragglers.trace(seconds)) == pytest.approx(truth, rel=0.05)
    fit = fit_shifted_exponential(seconds, deadline=2.5)
    fitted = stragglers.shifted_exponential(fit.rate, shift=fit.shift)
    assert best_deadline(fitted) == pytest.approx(truth, rel=0.05)


def test_workers_that_never_answer_do_not_count():
    latencies = np.array([[1.0, 2.0, np.inf], [1.5, 1.0, np.inf]])
    recorded = stragglers.trace(latencies, missing_is_late=True)
    prior = BetaPrior(1e-6, 1e-6)
    assert best_deadline(recorded, prior=prior) in (1.0, 1.5, 2.0)
    nobody = stragglers.trace(np.full((2, 2), np.inf), missing_is_late=True)
    with pytest.raises(ValueError, match="no worker ever answers"):
        best_deadline(nobody)


def test_without_shift_or_overhead_there_is_no_best():
    model = stragglers.exponential([1.0, 2.0])
    with pytest.raises(ValueError, match="the deadline goes to 0: workers may"):
        best_deadline(model)
    assert 0 < best_deadline(model, overhead=0.1) < 5


def test_where_nobody_answers_the_error_is_infinite():
    curve = deadline_curve(MODEL.survival, [0.5, 2.0])
    assert curve.error[0] == np.inf
    assert curve.best == 1


@pytest.mark.parametrize("deadlines", [[0.0, 1.0], [-1.0], []])
def test_bad_deadlines(deadlines):
    with pytest.raises(ValueError, match="deadline"):
        deadline_curve(MODEL.survival, deadlines)


def test_picture_marks_the_best():
    curve = deadline_curve(MODEL.survival, np.linspace(1, 4, 30))
    figure = draw_deadlines(curve)
    left, right = figure.axes
    assert left.get_lines()[1].get_xdata()[0] == curve.deadlines[curve.best]
    assert right.get_legend_handles_labels()[1][0] == "time to accuracy"


def test_another_error_has_another_best():
    """Without redundancy orthogonal gradients have Σ δ_i/k: one late worker counts."""
    with np.errstate(divide="ignore"):
        found = best_deadline(MODEL, error=lambda p: (p / (1 - p)).mean())
    assert found > best_deadline(MODEL)


def test_one_early_answer_is_no_reason_to_wait_no_longer():
    """By Jeffreys' prior, 200 workers that never answered yet would make up for it."""
    rng = np.random.default_rng(0)
    latencies = 1 + rng.exponential(size=(20, 200)) / 10
    latencies[3, 5] = 0.1
    recorded = stragglers.trace(latencies)
    assert best_deadline(recorded, prior=JEFFREYS) == pytest.approx(0.1)
    assert best_deadline(recorded) >= 1
