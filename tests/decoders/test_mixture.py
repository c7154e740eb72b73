"""Mixtures of designs, normalised weights, tracks of designs, similarity followed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import codes, decoders, gradients, residual

from .helpers import P, all_masks, plan_of

PLAN = codes.interval(P, num_partitions=10)
DESIGNS = [decoders.best_unbiased(PLAN, gradients=rho) for rho in (0.9, 0.0, 0.5)]


def test_mixture_is_the_weighted_sum_and_unbiased():
    masks = all_masks(8)
    mixed = decoders.mixture(DESIGNS, [0.2, 0.5, 0.3])
    assert mixed.is_one_solve
    assert mixed.is_unbiased is True
    with jax.enable_x64(True):
        each = [np.asarray(one(PLAN, masks)) for one in DESIGNS]
        found = np.asarray(mixed(PLAN, masks))
    np.testing.assert_allclose(found, np.tensordot([0.2, 0.5, 0.3], each, 1), atol=1e-9)
    moments = residual.decoded_moments(PLAN, decoder=mixed)
    np.testing.assert_allclose(moments.mean, 1, atol=1e-9)
    other = decoders.mixture([DESIGNS[0], decoders.least_squares])
    assert not other.is_one_solve
    assert other.is_unbiased is False


def test_mixture_at_a_traced_similarity():
    mixed = decoders.mixture(DESIGNS)

    @jax.jit
    def weights(mixed, rho, mask):
        return mixed.at(rho)(PLAN, mask)

    mask = np.arange(8) % 3 > 0
    for rho, own in zip((0.9, 0.0, 0.5), DESIGNS, strict=True):
        np.testing.assert_allclose(
            weights(mixed, rho, mask), own(PLAN, mask), rtol=2e-4
        )
    np.testing.assert_allclose(mixed.at(0.7).shares, [0.5, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(mixed.at(1.0).shares, [1, 0, 0], atol=1e-6)
    with pytest.raises(ValueError, match="designed for a similarity"):
        decoders.mixture([decoders.fixed]).at(0.5)


def test_between_runs_from_one_to_the_other():
    best = DESIGNS[2]
    least = decoders.conditional_least_squares(PLAN, gradients=0.5)
    errors = [
        residual.enumerate_masks(
            PLAN, decoder=decoders.between(best, least, t), gradients=0.5
        ).mean
        for t in (0.0, 0.5, 1.0)
    ]
    assert errors[0] == pytest.approx(best.design.error)
    assert errors[2] == pytest.approx(least.design.error)
    assert errors[2] < errors[1] < errors[0]


@pytest.mark.parametrize("shares", [[0.5, 0.6], [1.0], [1.5, -0.5]])
def test_bad_shares(shares):
    with pytest.raises(ValueError, match="shares"):
        decoders.mixture(DESIGNS[:2], shares)


def test_normalised_is_the_mean_of_those_who_answered():
    plan = codes.uncoded([0.3] * 4, num_partitions=8)
    messages = plan.encode(np.arange(8.0)[:, None])
    answered = np.array([True, False, True, False])
    mean = jgc.decode(messages, decoders.normalised(plan, answered))
    np.testing.assert_allclose(mean, [8 * np.mean([0, 1, 4, 5])])
    # Aligned gradients: exact as long as anyone answers.
    for own in (plan, PLAN):
        c = np.asarray(
            decoders.normalised.coefficients(own, all_masks(len(own.weights)))
        )
        np.testing.assert_allclose(c.sum(axis=0)[1:], own.num_partitions, rtol=1e-5)
        assert (c[:, 0] == 0).all()
    with pytest.raises(ValueError, match="worker 1"):
        decoders.normalised(plan_of([{0: 1.0}, {0: -1.0}], 1), np.ones(2, bool))


def test_unbiased_uncoded_refuses_workers_that_never_answer():
    plan = codes.uncoded([0.5, 0.2], num_partitions=4, unbiased=True)
    np.testing.assert_allclose(residual.bias(plan), 0, atol=1e-12)
    with pytest.raises(ValueError, match=r"p\[1\] = 1"):
        codes.uncoded([0.5, 1.0], num_partitions=4, unbiased=True)


def test_second_track_of_a_design_is_its_trade_of_bias_for_variance():
    tracks = decoders.two_track(PLAN, noise_ratio=1.0, decoder=DESIGNS[2])
    masks = all_masks(8)
    with jax.enable_x64(True):
        first, second = np.asarray(tracks(PLAN, masks))
        least = decoders.conditional_least_squares(PLAN, gradients=0.5)
        np.testing.assert_allclose(first, DESIGNS[2](PLAN, masks), atol=1e-9)
        np.testing.assert_allclose(second, least(PLAN, masks), atol=1e-9)
        both = decoders.two_track(PLAN, noise_ratio=np.inf, decoder=DESIGNS[2])
        np.testing.assert_allclose(*np.asarray(both(PLAN, masks)), atol=1e-9)
    assert tracks.coefficients(PLAN, masks[:, 5]).shape == (2, 10)


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("plan", [PLAN, codes.uncoded(P, num_partitions=10)])
def test_similarity_is_found_from_messages(plan, rho):
    rng = np.random.default_rng(0)
    follow = gradients.following(decay=0.9, first_guess=0.7)
    state = follow.init()
    assert float(state.rho) == pytest.approx(0.7, abs=1e-3)
    update = jax.jit(follow.update)
    for t in range(60):
        own = np.sqrt(1 - rho) * rng.normal(size=(10, 400))
        g = 0.9**t * (own + np.sqrt(rho) * rng.normal(size=400))
        messages = np.asarray(plan.encode(g)).copy()
        answered = rng.random(8) > 0.3
        messages[~answered] = np.nan
        state = update(state, plan, {"w": jnp.asarray(messages)}, answered)
    assert float(state.rho) == pytest.approx(rho, abs=0.07)
    nothing = update(state, plan, {"w": jnp.full((8, 3), jnp.nan)}, np.zeros(8, bool))
    assert float(nothing.rho) == pytest.approx(float(state.rho))
