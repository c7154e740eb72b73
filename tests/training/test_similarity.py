"""ρ followed in training: what is found, what it changes, what it costs."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import decoders, gradients, optim
from jgc.training import Job, arrays, partitioned, simulated
from tests.training import problems

K, N = 5, 10
P = np.array([0.3, 0.1, 0.4, 0.2, 0.5])
KEY = jax.random.key(0)
RATE = 0.1
FOLLOW = gradients.following(decay=0.9, first_guess=0.3, every=1)
PLAN = jgc.codes.interval(P, num_partitions=N)
DESIGNS = [decoders.best_unbiased(PLAN, gradients=rho) for rho in (0.0, 0.1, 1.0)]

TRACES = []


@jax.jit
def coefficients_at(decoder, rho, answered):
    return decoder.at(rho).coefficients(PLAN, answered)


def linear(params, x):
    """Whose gradient is the example, wherever it is taken."""
    TRACES.append(x.shape)
    return x @ params


def data(rho):
    """One example a partition, of unit norm; any two have inner product ρ."""
    own = np.sqrt(1 - rho) * np.eye(N)
    rows = np.concatenate([own, np.full((N, 1), np.sqrt(rho))], axis=1)
    return partitioned(arrays(rows.astype(np.float32)), np.arange(N), num_partitions=N)


def job(rho, **parts):
    defaults = {
        "plan": PLAN,
        "data": data(rho),
        "decoder": decoders.mixture(DESIGNS),
        "stragglers": jgc.stragglers.bernoulli(P),
        "similarity": FOLLOW,
    }
    return Job(**defaults | parts)


PATH = simulated(linear, optax.sgd(RATE))


def train(job, steps, path=PATH, params=None):
    reports = []
    with path(job) as run:
        state = run.init(KEY, jnp.zeros(N + 1) if params is None else params)
        for _ in range(steps):
            state, report = run.step(state)
            reports.append(report)
    return state, reports


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.5, 1.0])
def test_similarity_is_found_in_training(rho):
    state, reports = train(job(rho), 60)
    assert reports[0].similarity == pytest.approx(FOLLOW.first_guess)
    assert float(state.similarity.rho) == pytest.approx(rho, abs=0.03)


@pytest.mark.parametrize(
    "plan",
    [
        jgc.codes.uncoded(P, num_partitions=N),
        jgc.codes.fractional_repetition(P, num_partitions=N, replication=2),
        # Workers that hold nothing, and one that never answers.
        jgc.codes.interval([0.2, 0.2, 1.0, 0.2, 0.6], num_partitions=N, layers=2),
    ],
    ids=lambda plan: plan.name,
)
@pytest.mark.parametrize("rho", [0.0, 1.0])
def test_similarity_is_found_whatever_the_code(plan, rho):
    p = np.asarray(plan.straggler_probabilities)
    with_others = job(
        rho,
        plan=plan,
        decoder=decoders.fixed,
        stragglers=jgc.stragglers.bernoulli(p),
    )
    state, _ = train(with_others, 60)
    assert float(state.similarity.rho) == pytest.approx(rho, abs=0.03)


def test_messages_that_look_alike_tell_nothing():
    dense = job(0.0, plan=jgc.codes.dense(P, num_partitions=N), decoder=decoders.fixed)
    state, _ = train(dense, 300)
    assert float(state.similarity.rho) == pytest.approx(FOLLOW.first_guess, abs=1e-5)


def test_an_iteration_is_decoded_at_what_was_seen_before():
    """Also that the estimate goes on moving, and nothing compiles again for it."""
    ours = job(0.0, decoder=decoders.mixture(DESIGNS))
    rows = np.asarray(ours.data.batch(KEY, 0).examples)[:, 0]
    train(ours, 2)
    traced = len(TRACES)
    with PATH(ours) as run:
        state = run.init(KEY, jnp.zeros(N + 1))
        started = len(TRACES) - traced  # the check of the loss, before any step
        seen = []
        for _ in range(8):
            before = np.asarray(state.params)
            state, report = run.step(state)
            c = coefficients_at(ours.decoder, report.similarity, report.answered)
            expected = -RATE * np.asarray(c) @ rows / N
            np.testing.assert_allclose(state.params - before, expected, atol=1e-5)
            seen.append(report.similarity)
        assert len(set(seen)) > 4
        # Other knots, of which what was traced knows nothing.
        others = [decoders.best_unbiased(PLAN, gradients=r) for r in (0.0, 0.9, 0.4)]
        state, (first, *_) = train(job(0.0, decoder=decoders.mixture(others)), 1)
        c = coefficients_at(decoders.mixture(others), 0.3, first.answered)
        np.testing.assert_allclose(
            state.params, -RATE * np.asarray(c) @ rows / N, atol=1e-5
        )
    assert len(TRACES) - traced == 2 * started


def test_what_is_not_looked_at_is_not_learnt_from():
    _, reports = train(job(0.0, similarity=gradients.following(every=3)), 8)
    seen = np.array([report.similarity for report in reports])
    np.testing.assert_array_equal(np.flatnonzero(np.diff(seen)) % 3, 0)
    assert len(set(seen)) == 4


def test_without_it_nothing_is_seen_and_a_mixture_keeps_its_shares():
    shares = [0.2, 0.5, 0.3]
    mixed = decoders.mixture(DESIGNS, shares)
    ours = job(0.0, decoder=mixed, similarity=None)
    state, (report, *_) = train(ours, 1)
    assert np.isnan(report.similarity)
    assert state.similarity == ()
    rows = np.asarray(ours.data.batch(KEY, 0).examples)[:, 0]
    c = mixed.coefficients(PLAN, report.answered)
    np.testing.assert_allclose(
        state.params, -RATE * np.asarray(c) @ rows / N, atol=1e-5
    )


def test_only_designs_for_several_similarities_follow():
    least = decoders.conditional_least_squares(PLAN, gradients=0.1)
    assert decoders.mixture(DESIGNS).follows_similarity
    assert decoders.two_track(
        PLAN, decoder=decoders.mixture(DESIGNS)
    ).follows_similarity
    for other in (
        decoders.fixed,
        DESIGNS[0],
        decoders.mixture([DESIGNS[0], decoders.least_squares]),
        between := decoders.between(DESIGNS[1], least, 0.5),
    ):
        assert not other.follows_similarity
    state, _ = train(job(0.0, decoder=between), 20)  # watched all the same
    assert float(state.similarity.rho) < 0.1


def test_two_tracks_follow_with_the_first():
    tracks = decoders.two_track(PLAN, decoder=decoders.mixture(DESIGNS))
    path = simulated(linear, optim.two_track_adam(None, RATE))
    state, _ = train(job(1.0, decoder=tracks), 60, path)
    assert float(state.similarity.rho) == pytest.approx(1, abs=0.03)
    found = tracks.at(0.05)(PLAN, np.ones(K, bool))
    np.testing.assert_allclose(
        found[0], decoders.mixture(DESIGNS).at(0.05)(PLAN, np.ones(K, bool)), rtol=1e-5
    )
    np.testing.assert_array_equal(found[1], tracks(PLAN, np.ones(K, bool))[1])


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_gradients_of_any_size_that_shrink_a_thousandfold(scale):
    rng = np.random.default_rng(0)
    follow = gradients.following()
    state, update = follow.init(), jax.jit(follow.update_from)
    for t in range(200):
        sums, squares = rng.uniform(0, 3, 2), rng.uniform(0.5, 2, 2)
        norms = (
            scale * 0.9**t * (0.7 * squares + 0.3 * sums**2) * rng.gamma(20, 1 / 20, 2)
        )
        state = update(state, sums=sums, squares=squares, squared_norms=norms)
    assert float(state.rho) == pytest.approx(0.3, abs=0.08)


def test_real_gradients():
    """Those of a small logistic regression, which are no two alike."""
    ours = partitioned(
        arrays(problems.examples()),
        np.arange(problems.NUM_EXAMPLES) % N,
        num_partitions=N,
    )
    params = problems.params()
    batch = ours.batch(KEY, 0)

    @jax.jit
    def of_partition(c):
        total = jgc.training.coded_gradient(problems.loss, params, batch, c).gradient
        return jnp.concatenate([total["weight"], total["bias"][None]])

    g = np.stack([of_partition(row) for row in np.eye(N, dtype=np.float32)])
    gram = g @ g.T
    rho = (gram.sum() - np.trace(gram)) / (N - 1) / np.trace(gram)
    path = simulated(problems.loss, optax.sgd(0.0))
    # The mean of many estimates: one has the memory of twenty iterations.
    watched = Job(
        plan=jgc.codes.uncoded(P, num_partitions=N),
        data=ours,
        stragglers=jgc.stragglers.bernoulli(P),
        similarity=gradients.following(decay=0.98, every=1),
    )
    _, reports = train(watched, 400, path, params)
    found = np.mean([report.similarity for report in reports[100:]])
    assert 0.05 < rho < 0.95
    assert found == pytest.approx(rho, abs=0.08)


def test_what_is_no_estimator_is_refused():
    with pytest.raises(ValueError, match=r"similarity must be None or .*got 0\.5"):
        job(0.0, similarity=0.5)
    with pytest.raises(ValueError, match="every"):
        gradients.following(every=0)
