import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jgc.stragglers import estimation, markov
from jgc.stragglers.estimation import BetaPrior

RNG = np.random.default_rng(0)
P = np.array([0.02, 0.3, 0.9])
MASKS = RNG.uniform(size=(400, 3)) >= P
SECONDS = 0.5 + RNG.exponential(size=(400, 3)) / [1.0, 2.0, 5.0]
DEADLINE = 0.9

ESTIMATORS = {
    "counting": (estimation.counting(3), MASKS),
    "window": (estimation.counting(3, window=50), MASKS),
    "forgetting": (estimation.forgetting(3, memory=50), MASKS),
    "shifted exponential": (
        estimation.censored_shifted_exponential(3, deadline=DEADLINE),
        SECONDS,
    ),
}


@pytest.fixture(params=ESTIMATORS)
def estimator(request):
    return ESTIMATORS[request.param]


def test_scan_equals_steps_under_jit(estimator):
    estimator, seen = estimator
    update = jax.jit(estimator.update)
    state = estimator.init()
    structure = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state)
    for observation in seen[:120]:
        state = update(state, observation)
        assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), state) == structure
    assert update._cache_size() == 1
    np.testing.assert_allclose(
        estimator.probabilities(state),
        estimation.estimate(estimator, seen[:120]),
        rtol=1e-6,
    )


def test_vmap_over_runs(estimator):
    estimator, seen = estimator
    batch = jnp.asarray(seen).reshape(4, 100, 3)

    def run(observations):
        state, _ = jax.lax.scan(
            lambda state, seen: (estimator.update(state, seen), None),
            estimator.init(),
            observations,
        )
        return estimator.probabilities(state)

    found = jax.jit(jax.vmap(run))(batch)
    for row, observations in zip(found, batch, strict=True):
        np.testing.assert_allclose(
            row, estimation.estimate(estimator, observations), rtol=1e-6
        )


def test_counting_in_closed_form():
    prior = BetaPrior(2.0, 5.0)
    found = estimation.estimate(estimation.counting(3, prior=prior), MASKS)
    np.testing.assert_allclose(found, (2 + (~MASKS).sum(0)) / (7 + 400), rtol=1e-6)
    error = np.sqrt(P * (1 - P) / 400)
    assert (np.abs(found - P) < 4.5 * error + 0.01).all()


@pytest.mark.parametrize("rounds", [0, 1, 49, 50, 51, 137])
def test_window_is_counting_of_the_last_rounds(rounds):
    window = estimation.counting(3, window=50)
    recent = estimation.counting(3)
    np.testing.assert_allclose(
        estimation.estimate(window, MASKS[:rounds]),
        estimation.estimate(recent, MASKS[:rounds][-50:]),
        rtol=1e-6,
    )


def test_forgetting_in_closed_form():
    weight = (1 - 1 / 20) ** np.arange(400)[::-1]
    late = (weight[:, None] * ~MASKS).sum(0)
    found = estimation.estimate(estimation.forgetting(3, memory=20), MASKS)
    np.testing.assert_allclose(found, (0.5 + late) / (1 + weight.sum()), rtol=1e-5)


def test_forgetting_follows_a_change_that_counting_averages():
    masks = np.ones((600, 2), bool)
    masks[400:, 0] = False
    forgetting = estimation.estimate(estimation.forgetting(2, memory=30), masks)
    counting = estimation.estimate(estimation.counting(2), masks)
    assert forgetting[0] > 0.95
    assert counting[0] == pytest.approx(1 / 3, abs=0.01)


def test_online_shifted_exponential_is_the_batch_fit():
    online, seen = ESTIMATORS["shifted exponential"]
    for rounds in (1, 2, 30, 400):
        fit = estimation.fit_shifted_exponential(seen[:rounds], deadline=DEADLINE)
        np.testing.assert_allclose(
            estimation.estimate(online, seen[:rounds]),
            fit.probabilities(DEADLINE),
            rtol=2e-4,
        )


@pytest.mark.parametrize("late", [np.nan, np.inf, 2.0])
def test_online_shifted_exponential_reads_anything_late_alike(late):
    online, seen = ESTIMATORS["shifted exponential"]
    replaced = np.where(seen > DEADLINE, late, seen)
    np.testing.assert_array_equal(
        estimation.estimate(online, seen), estimation.estimate(online, replaced)
    )


@given(
    rounds=st.sampled_from([0, 1, 2, 40]),
    late=st.sampled_from([0.0, 0.5, 1.0]),
    name=st.sampled_from(sorted(ESTIMATORS)),
    seed=st.integers(0, 9),
)
@settings(max_examples=40, deadline=None)
def test_estimates_are_never_0_or_1(rounds, late, name, seed):
    estimator, _ = ESTIMATORS[name]
    is_late = np.random.default_rng(seed).uniform(size=(rounds, 3)) < late
    if name == "shifted exponential":
        # Equal latencies, so that the likeliest rate is infinite.
        seen = np.where(is_late, np.nan, 0.25)
    else:
        seen = ~is_late
    found = estimation.estimate(estimator, seen)
    assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("answered", [True, False])
def test_nor_after_2_to_the_30_rounds(answered):
    """Where float32 no longer tells (a + n)/(a + b + n) from 1."""
    estimator = estimation.counting(1)
    state = estimator.init()
    late = jnp.full(1, 0 if answered else 2**30, jnp.int32)
    state = state._replace(late=late, rounds=jnp.int32(2**30))
    found = float(estimator.probabilities(state)[0])
    assert 0 < found < 1
    assert int(estimator.update(state, jnp.ones(1, bool)).rounds) == 2**30 + 1


def test_fitted_prior_recovers_the_law_of_p():
    rng = np.random.default_rng(1)
    late = rng.binomial(30, rng.beta(2, 8, size=3000))
    prior = estimation.fit_beta_prior(late, rounds=30)
    assert prior.late / (prior.late + prior.in_time) == pytest.approx(0.2, abs=0.01)
    assert prior.late + prior.in_time == pytest.approx(10, rel=0.2)


def test_fitted_prior_of_workers_that_are_alike_pools_them():
    late = np.random.default_rng(1).binomial(30, 0.1, size=300)
    prior = estimation.fit_beta_prior(late, rounds=30)
    assert prior.late + prior.in_time > 300
    for extreme in (np.zeros(4), np.full(4, 30)):
        prior = estimation.fit_beta_prior(extreme, rounds=30)
        assert prior == estimation.JEFFREYS
        found = estimation.estimate(
            estimation.counting(4, prior=prior), np.tile(extreme == 0, (30, 1))
        )
        assert ((found > 0) & (found < 1)).all()


def observe(estimator, observation):
    return estimator.update(estimator.init(), jnp.array(observation))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: estimation.counting(0), "num_workers"),
        (lambda: estimation.counting(2, window=0), "window"),
        (lambda: estimation.counting(2, prior=BetaPrior(0, 1)), "prior.late"),
        (lambda: estimation.counting(2, prior=BetaPrior(1, np.nan)), "prior.in_time"),
        (lambda: estimation.forgetting(2, memory=1.0), "memory must be above 1"),
        (lambda: estimation.censored_shifted_exponential(2, deadline=0), "above 0"),
        (lambda: estimation.fit_beta_prior([3.0], rounds=2), "at most rounds, got 3"),
        (lambda: estimation.fit_beta_prior([-1.0], rounds=2), "late must lie in"),
        (lambda: observe(estimation.counting(2), [0.3, 1.2]), "must be a mask"),
        (lambda: observe(estimation.counting(2, window=3), [True]), r"shape \(2,\)"),
        (lambda: observe(estimation.forgetting(2, memory=5), [True]), r"shape \(2,\)"),
    ],
)
@pytest.mark.wrong_types
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_bursts_are_estimated_too_but_more_slowly():
    """Counting is unbiased under bursts; its error is that of fewer rounds."""
    p, burst, rounds = np.full(2000, 0.2), 5.0, 200
    model = markov(p, mean_burst=burst)

    def step(state, key):
        mask, state = model.sample(state, key)
        return state, mask

    keys = jax.random.split(jax.random.key(0), rounds)
    masks = jax.lax.scan(step, model.init(jax.random.key(1)), keys)[1]
    found = estimation.estimate(estimation.counting(2000), masks)
    r = model.autocorrelation(1)[0]
    expected = np.sqrt(0.16 / rounds * (1 + r) / (1 - r))
    assert found.mean() == pytest.approx(0.2, abs=0.01)
    assert found.std() == pytest.approx(expected, rel=0.1)
