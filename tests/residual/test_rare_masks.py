"""Monte Carlo where rare masks carry the error: honest intervals, or none."""

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import codes, decoders, stragglers
from jgc._pytree import pytree
from jgc.residual import enumerate_masks, exact, monte_carlo
from jgc.residual._exact import worker_shares
from jgc.residual._sampling.control_variates import partitions_lost
from jgc.residual._sampling.moments import Moments
from jgc.residual._sampling.proposals import proposals

from ..decoders.helpers import all_masks

# One worker of ten hardly ever answers, one hardly ever straggles.
P = np.array([0.3, 1e-4, 0.02, 0.9999, 0.1, 0.5, 0.2, 0.4])
NEVER = np.array([0.3, 0.2, 0.99999, 0.4, 0.1, 0.25, 0.5, 0.15, 0.35, 0.45])
KEY = jax.random.key(5)


def deviations(plan, truth, *, repeats, **options):
    """(mean − truth)/standard error of so many runs."""
    found = [
        monte_carlo(jax.random.key(seed), plan, progress=False, **options)
        for seed in range(repeats)
    ]
    return np.array([(one.mean - truth) / one.standard_error for one in found])


def test_controls_that_explain_all_common_masks():
    # Errors are linear in the groups lost, but where two are: of 2,000 masks two.
    plan = codes.fractional_repetition([0.02] * 8, num_partitions=8, replication=2)
    options = {"decoder": decoders.representative}
    truth = enumerate_masks(plan, **options).mean
    assert truth == pytest.approx(0.00640768, rel=1e-6)
    for trials in (300, 2000, 16384):
        found = deviations(plan, truth, repeats=20, num_trials=trials, **options)
        assert np.abs(found).max() < 4


def test_stopping_with_controls_waits_for_pairs_of_lost_groups():
    plan = codes.fractional_repetition(
        np.full(1000, 0.01), num_partitions=1000, replication=2
    )
    lost = 0.01**2
    truth = 4 * (500 * lost + 500 * 499 * lost**2)
    found = deviations(
        plan,
        truth,
        repeats=8,
        num_trials=10**5,
        decoder=decoders.representative,
        target_relative_error=0.01,
    )
    assert np.abs(found).max() < 4


def test_stopping_meets_a_worker_that_hardly_ever_answers():
    plan = codes.stochastic(NEVER, num_partitions=10, key=KEY, replication=2)
    truth = exact(plan).mean
    assert truth > 1e4
    for seed in range(4):
        found = monte_carlo(
            jax.random.key(seed), plan, num_trials=10**7, target_relative_error=0.02
        )
        assert found.standard_error <= 0.02 * found.mean
        assert abs(found.mean - truth) < 4 * found.standard_error


def test_losses_too_rare_to_meet_by_chance():
    # A partition is lost once in 10^12 iterations.
    plan = codes.fractional_repetition([1e-6] * 8, num_partitions=8, replication=2)
    options = {"decoder": decoders.representative}
    truth = enumerate_masks(plan, **options).mean
    found = monte_carlo(KEY, plan, num_trials=50_000, **options)
    assert found.standard_error < 0.05 * truth
    assert abs(found.mean - truth) < 4 * found.standard_error


def test_errors_of_any_three_stragglers_not_of_lost_partitions_alone():
    plan = codes.cyclic_repetition([1e-4] * 10, num_partitions=10, num_stragglers=2)
    options = {"decoder": decoders.least_squares, "gradients": 0.0}
    truth = enumerate_masks(plan, **options).mean
    found = monte_carlo(KEY, plan, num_trials=200_000, **options)
    assert found.standard_error < 0.05 * truth
    assert abs(found.mean - truth) < 4 * found.standard_error


@pytest.mark.parametrize("trials", [100, 5000])
def test_a_model_without_the_rare_event_states_no_error(trials):
    # At 100 trials all errors are equal; at 5,000 common ones hide that the one that
    # matters is missing.
    p = np.full(10, 1e-6) if trials == 100 else NEVER
    plan = codes.stochastic(p, num_partitions=10, key=KEY, replication=2)
    model = stragglers.bernoulli(p)
    found = monte_carlo(KEY, plan, num_trials=trials, model=model)
    assert found.mean < exact(plan).mean / 10
    assert found.standard_error == np.inf


def test_rounding_is_no_noise():
    # 1/(1 − P0) decodes what no sample tells from 1; the error is that nobody answers.
    p = np.array([1e-4, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9])
    plan = codes.interval(p, num_partitions=8)
    best = decoders.best_unbiased(plan, gradients=1.0)
    model = stragglers.markov(p, mean_burst=10.0)
    found = monte_carlo(KEY, plan, num_trials=20_000, decoder=best, model=model)
    assert found.standard_error == np.inf


def test_rare_outcomes_that_do_not_matter_do_not_disturb():
    p = np.array([0.3, 0.2, 1e-9, 0.4])
    plan = codes.uncoded(p, num_partitions=4)
    found = monte_carlo(KEY, plan, num_trials=20_000, model=stragglers.bernoulli(p))
    assert abs(found.mean - exact(plan).mean) < 4 * found.standard_error < np.inf
    # Rare each, but many: together they are met.
    p = np.full(300, 0.002)
    plan = codes.interval(p, num_partitions=300)
    found = monte_carlo(KEY, plan, num_trials=2000, model=stragglers.bernoulli(p))
    assert abs(found.mean - exact(plan).mean) < 4 * found.standard_error < np.inf


def test_equal_errors_of_few_workers_are_known():
    # Worker 0 holds all and always answers: whoever else straggles, nothing is lost.
    plan = jgc.CodingPlan.from_matrix(np.ones((3, 1)), p=[0.0, 0.5, 0.5])
    found = monte_carlo(KEY, plan, num_trials=1000, decoder=decoders.least_squares)
    assert found.mean == pytest.approx(0, abs=1e-9)
    assert found.standard_error == 0


@pytest.mark.parametrize("is_fixed", [True, False])
@pytest.mark.parametrize("p", [P, np.full(8, 1e-3), np.linspace(0.1, 0.9, 8)])
def test_the_mixture_is_a_law(p, is_fixed):
    plan = codes.random_graph(p, num_partitions=6, key=KEY)
    related = jgc.gradients.similar(0.3)
    law, mixture = proposals(
        plan, worker_shares(plan, related), is_fixed=is_fixed, dtype=np.float64
    )
    masks = all_masks(8)
    chance = np.where(masks, 1 - p[:, None], p[:, None]).prod(axis=0)
    with jax.enable_x64(True):
        weight = np.asarray(mixture.weights(masks, partitions_lost(plan, masks)))
    assert (chance / weight).sum() == pytest.approx(1, rel=1e-9)
    assert weight.max() <= 2 + 1e-9
    np.testing.assert_array_equal(law[0], p)


@pytree
@dataclass(frozen=True)
class AllBut(decoders.Decoder):
    """An error of 1 for one mask alone; worker 0, which always answers, makes it 0."""

    mask: np.ndarray

    def weights(self, plan, answered):
        column = jnp.asarray(self.mask).reshape(-1, *[1] * (answered.ndim - 1))
        is_it = (answered == column).all(axis=0)
        return jnp.zeros(answered.shape).at[0].set(jnp.where(is_it, 0.0, 1.0))


@pytest.mark.parametrize("flipped", [[], [1], [3], [1, 3, 5]])
def test_a_mask_comes_as_often_as_it_should(flipped):
    p = np.concatenate([[0.0], P[1:]])
    plan = jgc.CodingPlan.from_matrix(np.ones((8, 1)), p=p)
    mask = p < 0.5
    mask[flipped] = ~mask[flipped]
    chance = np.where(mask, 1 - p, p).prod()
    options = {"repeats": 5, "decoder": AllBut(mask)}
    for trials in (200, 16_384):  # each decoded by itself, and by the table
        found = deviations(plan, chance, num_trials=trials, **options)
        assert (np.abs(found) < 4).all()


def test_moments_are_those_of_all_samples():
    rng = np.random.default_rng(0)
    samples = rng.exponential(size=(1000, 2)) * [1, 1e-3] + [0, 5]
    moments = Moments.empty(2)
    for part in np.split(samples, [3, 10, 400]):
        mean = part.mean(axis=0)
        powers = [((part - mean) ** m).sum(axis=0) for m in (2, 3, 4)]
        moments = moments.merged(Moments(len(part), mean, np.stack(powers, axis=-1)))
    centred = samples - samples.mean(axis=0)
    np.testing.assert_allclose(moments.mean, samples.mean(axis=0))
    for m, power in zip((2, 3, 4), moments.powers.T, strict=True):
        np.testing.assert_allclose(power, (centred**m).sum(axis=0), rtol=1e-9)


def test_events_are_counted():
    def events(samples):
        centred = samples - samples.mean()
        powers = np.array([(centred**m).sum() for m in (2, 3, 4)])
        moments = Moments(samples.size, samples.mean(), powers)
        return moments.events(np.abs(samples.mean()))

    rng = np.random.default_rng(1)
    rare = np.zeros(10_000)
    rare[:12] = 7.0
    assert events(rare) == pytest.approx(12, rel=0.01)
    assert events(rng.normal(size=10_000)) == pytest.approx(10_000, rel=0.2)
    assert events(np.full(100, 0.1)) == 0


BAND = codes.interval(P, num_partitions=8)
COVERAGE = {
    "fixed": (BAND, decoders.fixed),
    "representative": (
        codes.fractional_repetition(P, num_partitions=8, replication=2),
        decoders.representative,
    ),
    "least_squares": (
        codes.stochastic(P, num_partitions=8, key=KEY, replication=2),
        decoders.least_squares,
    ),
    "graph": (codes.random_graph(P, num_partitions=8, key=KEY), decoders.graph),
    "best_unbiased": (BAND, decoders.best_unbiased(BAND, gradients=0.5)),
}


@pytest.mark.parametrize("name", COVERAGE)
def test_coverage(name):
    # benchmarks/coverage.py has more cases and repeats.
    plan, decoder = COVERAGE[name]
    options = {"decoder": decoder, "gradients": 0.5}
    truth = enumerate_masks(plan, **options).mean
    found = deviations(plan, truth, repeats=60, num_trials=16_384, **options)
    # Of 60 at 95 %, fewer than 49 come 4 times in 100,000.
    assert (np.abs(found) < 1.96).sum() >= 49


def test_coverage_of_a_model():
    p = np.array([0.01, 0.05, 0.1, 0.3, 0.5, 0.2, 0.9, 0.4])
    plan = codes.random_graph(p, num_partitions=8, key=KEY)
    truth = enumerate_masks(plan, decoder=decoders.graph).mean
    found = deviations(
        plan,
        truth,
        repeats=60,
        num_trials=16_384,
        decoder=decoders.graph,
        model=stragglers.markov(p, mean_burst=10.0),
    )
    assert (np.abs(found) < 1.96).sum() >= 49


def test_a_designed_decoder_on_plans_of_other_p():
    best = COVERAGE["best_unbiased"][1]
    plans = [BAND, replace(BAND, straggler_probabilities=np.linspace(0.1, 0.5, 8))]
    options = {"decoder": best, "gradients": 0.5}
    together = monte_carlo(KEY, plans, num_trials=16_384, **options)
    for plan, found in zip(plans, together, strict=True):
        truth = enumerate_masks(plan, **options).mean
        assert abs(found.mean - truth) < 4 * found.standard_error < 0.01 * truth
