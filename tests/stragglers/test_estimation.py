"""Fits to a record of the past, intervals, and tests of fit."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from jgc.stragglers import estimation

DEADLINE = 1.3


def simulated(rate, shift, *, rounds, seed=0):
    rng = np.random.default_rng(seed)
    return shift + rng.exponential(size=(rounds, len(rate))) / rate


def negative_log_likelihood(parameters, seconds, deadline):
    shift, log_rate = parameters
    rate = np.exp(log_rate)
    waited = np.minimum(seconds, deadline) - shift
    if (waited < 0).any():
        return np.inf
    return rate * waited.sum() - (seconds <= deadline).sum() * log_rate


@pytest.mark.parametrize("deadline", [DEADLINE, None])
def test_closed_form_is_what_scipy_finds(deadline):
    seconds = simulated([2.0, 0.5], [1.0, 0.5], rounds=60)
    fit = estimation.fit_shifted_exponential(seconds, deadline=deadline)
    tau = np.inf if deadline is None else deadline
    for i in range(2):
        column = seconds[:, i]
        start = [column.min() * 0.9, 0.0]
        found = scipy.optimize.minimize(
            negative_log_likelihood,
            start,
            (column, tau),
            method="Nelder-Mead",
            options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 5000},
        )
        mine = [fit.shift[i], np.log(fit.rate[i])]
        assert negative_log_likelihood(mine, column, tau) <= found.fun + 1e-9
        np.testing.assert_allclose(mine, found.x, atol=1e-4)


def test_censoring_loses_no_consistency():
    rate, shift = np.array([2.0, 0.5]), np.array([1.0, 0.5])
    seconds = simulated(rate, shift, rounds=20_000)
    fit = estimation.fit_shifted_exponential(seconds, deadline=DEADLINE)
    np.testing.assert_allclose(fit.rate, rate, rtol=5 / np.sqrt(fit.answered.min()))
    truth = np.exp(-rate * (2.0 - shift))
    np.testing.assert_allclose(fit.survival(2.0), truth, rtol=0.1)  # extrapolated


def test_limits_of_the_fit():
    seconds = np.array([[0.5, np.nan, 0.5], [0.5, np.inf, 7.0]])
    fit = estimation.fit_shifted_exponential(seconds, deadline=1.0)
    np.testing.assert_array_equal(fit.answered, [2, 0, 1])
    np.testing.assert_array_equal(fit.shift, [0.5, 1.0, 0.5])
    np.testing.assert_array_equal(fit.rate, [np.inf, 0.0, 2.0])
    np.testing.assert_allclose(fit.survival(0.5), [0, 1, 1])
    np.testing.assert_allclose(fit.survival(0.4), [1, 1, 1])
    np.testing.assert_allclose(fit.survival(1.0), [0, 1, np.exp(-1)])
    np.testing.assert_allclose(
        fit.probabilities(1.0), [1 / 6, 5 / 6, np.exp(-1)]
    )  # within half a round of 0 and 1
    low, high = fit.interval(1.0)
    np.testing.assert_array_equal(low, 0)  # one answer or none, or all equal
    np.testing.assert_array_equal(high, 1)


def test_fits_interval_covers():
    rate, shift = np.full(4000, 1.5), np.full(4000, 0.8)
    seconds = simulated(rate, shift, rounds=25, seed=3)
    truth = np.exp(-1.5 * (DEADLINE - 0.8))
    for deadline in (None, DEADLINE):
        fit = estimation.fit_shifted_exponential(seconds, deadline=deadline)
        low, high = fit.interval(DEADLINE, level=0.9)
        covered = ((low <= truth) & (truth <= high)).mean()
        assert covered == pytest.approx(0.9, abs=0.035)


@pytest.mark.parametrize("rounds", [20, 200])
@pytest.mark.parametrize("p", [0.05, 0.3, 0.95])
def test_coverage_of_counting_intervals(rounds, p):
    """Over all outcomes, by their exact probabilities: no sampling."""
    late = np.arange(rounds + 1)
    weight = scipy.stats.binom.pmf(late, rounds, p)
    for interval in (estimation.credible_interval, estimation.wilson_interval):
        low, high = interval(late, rounds=rounds, level=0.95)
        assert ((low >= 0) & (low < high) & (high <= 1)).all()
        covered = weight[(low <= p) & (p <= high)].sum()
        assert covered == pytest.approx(0.95, abs=0.045)


def test_wilson_against_scipy():
    low, high = estimation.wilson_interval([0, 7, 20], rounds=20, level=0.9)
    for i, late in enumerate([0, 7, 20]):
        theirs = scipy.stats.binomtest(late, 20).proportion_ci(0.9, method="wilson")
        assert low[i] == pytest.approx(theirs.low, abs=1e-12)
        assert high[i] == pytest.approx(theirs.high, abs=1e-12)


def test_tests_are_calibrated_where_the_model_holds():
    rng = np.random.default_rng(0)
    p_values = []
    for seed in range(60):
        masks = rng.uniform(size=(25, 8)) > [0.1, 0.2, 0.5, 0.3, 0.1, 0.4, 0.05, 0.6]
        p_values.append(
            [
                estimation.check_independence(masks, permutations=99).p_value,
                estimation.check_bursts(masks, permutations=99).p_value,
                estimation.check_shifted_exponential(
                    simulated(np.full(4, 2.0), 0.3, rounds=15, seed=seed),
                    deadline=0.9,
                    simulations=49,
                ).p_value,
            ]
        )
    for column in np.array(p_values).T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3


def bursty(rng, p, burst, *, rounds, shock=0.0):
    """Markov chains, one a worker, and rounds in which a shock makes all late."""
    burst = np.maximum(burst, 1 / (1 - p))
    late = np.empty((rounds, p.size), bool)
    late[0] = rng.uniform(size=p.size) < p
    for t in range(1, rounds):
        chance = np.where(late[t - 1], 1 - 1 / burst, p / (1 - p) / burst)
        late[t] = rng.uniform(size=p.size) < chance
    return ~(late | (rng.uniform(size=(rounds, 1)) < shock))


@pytest.mark.parametrize("burst", [1.0, 3.0, 8.0])
def test_independent_workers_may_be_bursty(burst):
    """P(p ≤ 0.05) near 0.05; permuting each worker's rounds gave up to 0.19."""
    rng = np.random.default_rng(7)
    p = np.array([0.1, 0.2, 0.5, 0.3, 0.1, 0.4, 0.05, 0.6])
    p_values = np.array(
        [
            estimation.check_independence(
                bursty(rng, p, burst, rounds=80), permutations=99, seed=seed
            ).p_value
            for seed in range(400)
        ]
    )
    # Three standard errors of a share of 400.
    assert (p_values <= 0.05).mean() == pytest.approx(0.05, abs=0.033)
    assert (p_values <= 0.5).mean() == pytest.approx(0.5, abs=0.075)


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_shocks_are_seen_among_bursts(burst):
    rng = np.random.default_rng(3)
    p = np.full(8, 0.2)
    p_values = [
        estimation.check_independence(
            bursty(rng, p, burst, rounds=80, shock=0.06), permutations=99, seed=seed
        ).p_value
        for seed in range(100)
    ]
    assert (np.array(p_values) <= 0.05).mean() > 0.85


def test_few_rounds_have_exact_p_values():
    """Three rounds have six orders, which scipy goes through."""
    found = estimation.check_bursts(np.array([[True], [False], [False]]))
    assert found == pytest.approx((1.0, 0.5, 1 / 3))


def test_tests_see_what_is_wrong():
    rng = np.random.default_rng(0)
    together = np.repeat(rng.uniform(size=(60, 1)) > 0.3, 6, axis=1)
    found = estimation.check_independence(together)
    assert found.p_value == 1 / 1000
    assert found.statistic > 4 * found.expected
    assert estimation.check_bursts(together).p_value > 0.01  # rounds are independent

    bursts = np.repeat(rng.uniform(size=(20, 6)) > 0.3, 4, axis=0)
    found = estimation.check_bursts(bursts)
    assert found.p_value == 1 / 1000
    assert 1 / (1 - found.statistic) == pytest.approx(4 / 0.7, rel=0.35)
    assert estimation.check_independence(bursts).p_value > 0.01

    heavy = 1 + rng.pareto(1.5, size=(60, 5))
    found = estimation.check_shifted_exponential(heavy, simulations=99)
    assert found.p_value == 1 / 100


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: estimation.fit_shifted_exponential([[1.0, -1.0]]), "not be negative"),
        (lambda: estimation.fit_shifted_exponential([1.0]), r"got shape \(1,\)"),
        (lambda: estimation.fit_shifted_exponential(np.ones((0, 2))), "neither 0"),
        (lambda: estimation.fit_shifted_exponential([[1.0, np.nan]]), "no deadline"),
        (
            lambda: estimation.fit_shifted_exponential([[1.0]], deadline=-1),
            "deadline must be",
        ),
        (lambda: estimation.check_independence(np.ones((1, 4), bool)), "two rounds"),
        (lambda: estimation.check_bursts(np.ones((4, 4))), "boolean"),
        (
            lambda: estimation.check_shifted_exponential(np.ones((4, 4))),
            "two different answers",
        ),
        (lambda: estimation.wilson_interval([0], rounds=0), "rounds must be at least"),
        (
            lambda: estimation.credible_interval([0], rounds=1, level=1.0),
            "strictly between",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
