"""What every straggler model promises, and each one's own law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jgc import stragglers

P = np.array([0.05, 0.2, 0.5, 0.9, 0.0, 1.0])
K = P.size
TRACE = stragglers.trace(
    np.random.default_rng(0).exponential(size=(9, K)) * [1, 1, 2, 2, 0.001, 99] + 0.1
)

MODELS = {
    "bernoulli": stragglers.bernoulli(P),
    "exponential": stragglers.at_deadline(stragglers.exponential(np.arange(1, 7)), 0.3),
    "shifted exponential": stragglers.at_deadline(
        stragglers.shifted_exponential(np.arange(1, 7), shift=0.2 * np.arange(6)), 0.7
    ),
    "markov": stragglers.markov(P, mean_burst=[1.5, 4, 2, 12, 1, 1]),
    "common factor": stragglers.common_factor(P, correlation=0.6),
    "shared shocks": stragglers.shared_shocks(
        P, groups=[0, 0, 1, 1, 2, 1], shock=[0.04, 0.4, 0]
    ),
    # The third worker sends one message, the second three; two come at once.
    "in parts": stragglers.at_deadline(
        stragglers.in_parts(
            stragglers.shifted_exponential([1.0, 2.0, 3.0], shift=[0.0, 0.2, 1.0]),
            worker=[0, 0, 1, 1, 1, 2],
            share=[0.2, 0.4, 0.1, 0.4, 0.4, 0.3],
            work_fraction=0.7,
        ),
        deadline=0.8,
    ),
    "replay": stragglers.at_deadline(
        stragglers.replay(TRACE, random_start=True), deadline=1.0
    ),
}


def sample_path(model, key, steps):
    def step(state, key):
        mask, state = model.sample(state, key)
        return state, mask

    init_key, key = jax.random.split(key)
    return jax.lax.scan(step, model.init(init_key), jax.random.split(key, steps))[1]


def paths(model, *, chains, steps):
    """Masks (chains, steps, k), under scan, vmap and jit."""
    keys = jax.random.split(jax.random.key(1), chains)
    draw = jax.jit(jax.vmap(lambda key: sample_path(model, key, steps)))
    return np.asarray(draw(keys))


@pytest.fixture(params=MODELS, scope="module")
def named(request):
    model = MODELS[request.param]
    return model, paths(model, chains=20_000, steps=4)


def test_scan_vmap_and_jit_agree_with_steps_by_hand(named):
    model, masks = named
    key = jax.random.split(jax.random.key(1), 20_000)[7]
    init_key, key = jax.random.split(key)
    state = model.init(init_key)
    for t, step_key in enumerate(jax.random.split(key, 4)):
        mask, state = model.sample(state, step_key)
        assert mask.shape == (K,)
        assert mask.dtype == bool
        np.testing.assert_array_equal(mask, masks[7, t])


def test_models_are_hashable(named):
    assert isinstance(hash(named[0]), int)  # static arguments of compiled calls


def test_probabilities_hold_at_every_iteration(named):
    model, masks = named
    p = model.probabilities()
    error = np.sqrt(p * (1 - p) / masks.shape[0])
    late = 1 - masks.mean(0)
    assert (np.abs(late - p) <= 4.5 * error + 1e-12).all()


def test_covariance_holds(named):
    model, masks = named
    first = masks[:, 0].astype(float)
    centred = first - first.mean(0)
    products = centred[:, :, None] * centred[:, None, :]
    error = products.std(0) / np.sqrt(len(first))
    covariance = model.covariance()
    assert (np.abs(products.mean(0) - covariance) <= 4.5 * error + 2e-4).all()
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-15)
    p = model.probabilities()
    np.testing.assert_allclose(np.diag(covariance), p * (1 - p), atol=1e-15)
    assert np.linalg.eigvalsh(covariance).min() > -1e-12


def test_autocorrelation_holds(named):
    model, masks = named
    if model.autocorrelation is None:
        pytest.skip("a replay repeats itself")
    p = model.probabilities()
    for lag in (1, 3):
        product = (masks[:, 0] - (1 - p)) * (masks[:, lag] - (1 - p))
        expected = model.autocorrelation(lag) * p * (1 - p)
        error = product.std(0) / np.sqrt(len(product))
        assert (np.abs(product.mean(0) - expected) <= 4.5 * error + 1e-12).all()


def test_outcomes_are_the_law_of_a_mask(named):
    model, _ = named
    if model.outcomes is None:
        pytest.skip("does not know them")
    masks, probability = model.outcomes()
    assert probability.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        1 - probability @ masks, model.probabilities(), atol=1e-14
    )
    both = (masks * probability[:, None]).T @ masks
    mean = probability @ masks
    np.testing.assert_allclose(
        both - np.outer(mean, mean), model.covariance(), atol=1e-14
    )


def test_parts_of_workers_that_are_together_late_are_not_known():
    model = stragglers.in_parts(
        stragglers.replay(TRACE), worker=[0, 1], share=[0.1, 0.1], work_fraction=0.5
    )
    for law in (model.outcomes, model.covariance):
        with pytest.raises(ValueError, match="independent workers; of a recorded"):
            law(1.0)
    # Both are always there by 3 s, and together late for half of the data then.
    twins = stragglers.replay(stragglers.trace([[1.0, 1.0], [2.0, 2.0]]))
    parts = stragglers.in_parts(
        twins, worker=[0, 0, 1, 1], share=[0.5, 1, 0.5, 1], work_fraction=1.0
    )
    with pytest.raises(ValueError, match="independent workers; of a recorded"):
        parts.outcomes(3.0)


def test_latencies_have_their_law():
    rate, shift = np.array([0.5, 3.0]), np.array([0.0, 2.0])
    model = stragglers.shifted_exponential(rate, shift=shift)
    keys = jax.random.split(jax.random.key(0), 4000)
    seconds = np.asarray(jax.vmap(lambda key: model.sample((), key)[0])(keys))
    for i in range(2):
        law = scipy.stats.expon(loc=shift[i], scale=1 / rate[i])
        assert scipy.stats.kstest(seconds[:, i], law.cdf).pvalue > 1e-3


def test_shifted_exponential_is_the_papers_23():
    psi = np.array([0.1, 1.0, 2.0])
    model = stragglers.shifted_exponential(psi, shift=1.0)
    for deadline in (1.0, 1.1, 1.5):
        np.testing.assert_allclose(
            model.survival(deadline),
            stragglers.deadline_probabilities(psi, deadline=deadline),
            rtol=1e-14,
        )
    assert (model.survival(0.9) == 1).all()


def test_markov_bursts_have_their_mean_length():
    p, burst = np.array([0.2, 0.7]), np.array([5.0, 3.0])
    masks = paths(stragglers.markov(p, mean_burst=burst), chains=1, steps=200_000)[0]
    late = ~masks
    for i in range(2):
        edges = np.diff(late[:, i].astype(int), prepend=0, append=0)
        lengths = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
        error = lengths.std() / np.sqrt(lengths.size)
        assert abs(lengths.mean() - burst[i]) < 4.5 * error
    # 4.5 standard errors of a mean over correlated iterations.
    r = 1 - 1 / (burst * (1 - p))
    error = np.sqrt(p * (1 - p) * (1 + r) / (1 - r) / len(late))
    assert (np.abs(late.mean(0) - p) < 4.5 * error).all()


def test_markov_of_independent_bursts_is_bernoulli():
    model = stragglers.markov([0.2, 0.5], mean_burst=[1 / 0.8, 2.0])
    np.testing.assert_allclose(model.autocorrelation(1), 0, atol=1e-15)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.95, 0.9999, 1.0])
def test_common_factor_covariance_against_scipy(correlation):
    p = np.array([0.5, 0.5, 0.1, 0.999, 1e-9, 0.3])
    covariance = stragglers.common_factor(p, correlation=correlation).covariance()
    h = scipy.stats.norm.ppf(1 - p)
    for i, j in [(0, 1), (0, 2), (2, 3), (3, 4), (1, 5), (5, 2)]:
        if correlation < 1:
            normal = [[1, correlation], [correlation, 1]]
            both = scipy.stats.multivariate_normal(cov=normal).cdf([h[i], h[j]])
        else:
            both = 1 - max(p[i], p[j])
        expected = both - (1 - p[i]) * (1 - p[j])
        assert covariance[i, j] == pytest.approx(expected, abs=2e-8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stragglers.markov([0.5], mean_burst=0.5), r"mean_burst must lie in"),
        (lambda: stragglers.markov([0.9], mean_burst=2), r"at least p/\(1 - p\) = 9"),
        (lambda: stragglers.markov([0.5], mean_burst=[1, 2]), "one a worker"),
        (lambda: stragglers.exponential([1, 0]), r"rate\[1\] = 0"),
        (lambda: stragglers.shifted_exponential([1], shift=-1), "shift must lie in"),
        (lambda: stragglers.at_deadline(stragglers.exponential([1]), 0), "above 0"),
        pytest.param(
            lambda: stragglers.at_deadline(TRACE, 1.0),
            r"or replay\(trace\), got Trace",
            marks=pytest.mark.wrong_types,
        ),
        (
            lambda: stragglers.in_parts(
                stragglers.exponential([1]), worker=[0], share=0, work_fraction=1
            ),
            "share must be above 0",
        ),
        (lambda: stragglers.at_deadline(stragglers.exponential([1]), np.nan), "finite"),
        (lambda: stragglers.common_factor([0.5], correlation=-0.1), r"in \[0, 1\]"),
        (
            lambda: stragglers.shared_shocks([0.5, 0.1], groups=[0, 0], shock=0.2),
            "at most the p of each worker of its group, got 0.2 for worker 1",
        ),
        (
            lambda: stragglers.shared_shocks([0.5, 0.1], groups=[0, 0.5], shock=0),
            "2 integers ≥ 0",
        ),
        (
            lambda: stragglers.shared_shocks([1.0], groups=[0], shock=1.0),
            "shock must be below 1",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_of_ones_own_needs_no_more_than_init_and_sample():
    model = stragglers.StragglerModel(
        lambda key: (), lambda state, key: (jnp.ones(2, bool), state)
    )
    assert model.covariance is None
