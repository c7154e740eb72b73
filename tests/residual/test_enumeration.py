"""All masks against the closed form, and decoders against each other."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jgc
from jgc import decoders
from jgc import gradients as related
from jgc.residual import decoded_moments, enumerate_masks, exact

from ..decoders.helpers import P, all_masks, best_coefficients, case_plans, plan_of

PLANS = case_plans()
RNG = np.random.default_rng(5)


def gradient_options(n):
    vectors = RNG.normal(size=(n, 3))
    square = RNG.normal(size=(n, n))
    return [
        {},
        {"gradients": 0.0},
        {"gradients": related.common(0.3)},
        {"gradients": related.vectors(vectors)},
        {"gradients": related.gram(square @ square.T)},
    ]


@pytest.mark.parametrize("name", PLANS)
def test_fixed_decoders_equal_the_closed_form(name):
    plan = PLANS[name]
    for options in gradient_options(plan.num_partitions):
        result = enumerate_masks(plan, **options)
        assert result.mean == pytest.approx(exact(plan, **options).mean, rel=1e-10)
        assert result[1:4] == (0.0, 256, "enumeration")


@given(seed=st.integers(0, 2**32 - 1), rho=st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_random_plans_equal_the_closed_form(seed, rho):
    rng = np.random.default_rng(seed)
    rows = [
        {j: float(rng.normal()) for j in rng.choice(4, 2, replace=False).tolist()}
        for _ in range(5)
    ]
    p = rng.choice([0, 1e-12, 0.3, 0.9, 1 - 1e-12, 1], 5)
    plan = plan_of(rows, 4, p=p, weights=rng.normal(size=5))
    expected = exact(plan, gradients=rho).mean
    assert enumerate_masks(plan, gradients=rho).mean == pytest.approx(
        expected, rel=1e-10
    )


def test_long_gradients_are_compressed():
    plan = PLANS["interval"]
    gradients = related.vectors(RNG.normal(size=(plan.num_partitions, 50)))
    assert enumerate_masks(plan, gradients=gradients).mean == pytest.approx(
        exact(plan, gradients=gradients).mean, rel=1e-10
    )


def test_enumeration_ignores_the_precision_setting():
    plan = PLANS["interval"]
    assert not jax.config.jax_enable_x64
    with jax.enable_x64(True):
        expected = enumerate_masks(plan, decoder=decoders.least_squares)
    assert enumerate_masks(plan, decoder=decoders.least_squares) == expected


@pytest.mark.parametrize("name", PLANS)
def test_least_squares_is_the_best_for_orthogonal_gradients(name):
    plan, masks = PLANS[name], all_masks(8)
    c = best_coefficients(plan, masks)
    probability = np.where(masks, 1 - P[:, None], P[:, None]).prod(axis=0)
    expected = ((c - 1) ** 2).sum(axis=0) @ probability
    options = {"gradients": 0.0}
    best = enumerate_masks(plan, decoder=decoders.least_squares, **options).mean
    assert best == pytest.approx(expected, rel=1e-8)
    for other in (decoders.fixed, decoders.representative):
        assert best <= enumerate_masks(plan, decoder=other, **options).mean + 1e-12
    if "graph" in name:
        by_components = enumerate_masks(plan, decoder=decoders.graph, **options).mean
        assert by_components == pytest.approx(expected, rel=1e-12)


def test_another_p():
    plan = PLANS["interval"]
    other = np.linspace(0.1, 0.8, 8)
    expected = exact(replace(plan, straggler_probabilities=other)).mean
    assert enumerate_masks(plan, p=other).mean == pytest.approx(expected, rel=1e-10)


def test_a_decoder_of_ones_own():
    plan = PLANS["interval"]
    half = decoders.from_function(lambda plan, mask: 0.5 * decoders.fixed(plan, mask))
    result = enumerate_masks(plan, decoder=half, gradients=0.2)
    expected = exact(replace(plan, weights=plan.weights / 2), gradients=0.2)
    assert result.mean == pytest.approx(expected.mean, rel=1e-10)


@pytest.mark.parametrize("name", ["interval", "uncoded", "cyclic"])
def test_moments_of_the_decoded_gradient(name):
    plan, masks = PLANS[name], all_masks(8)
    probability = np.where(masks, 1 - P[:, None], P[:, None]).prod(axis=0)
    same = decoders.from_function(decoders.fixed)  # enumerated, not closed form
    for options in gradient_options(plan.num_partitions):
        closed = decoded_moments(plan, **options)
        enumerated = decoded_moments(plan, decoder=same, **options)
        for a, b in zip(closed, enumerated, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    c = best_coefficients(plan, masks)
    best = decoded_moments(plan, decoder=decoders.least_squares, gradients=0.0)
    np.testing.assert_allclose(best.mean, c @ probability, atol=1e-8)
    assert best.squared_norm == pytest.approx((c**2).sum(axis=0) @ probability)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"p": [0.5]}, "p must have 8 entries, got 1"),
        ({"p": [2.0] * 8}, r"p must lie in \[0, 1\]"),
        ({"decoder": "graph"}, "decoder must be of jgc.decoders"),
        ({"gradients": 2}, r"gradients must be a finite number in \[0, 1\], got 2"),
        ({"gradients": np.eye(10)}, "gradients must be a similarity in"),
        ({"gradients": related.gram(np.eye(3))}, "the plan's 10 partitions, got 3"),
    ],
)
@pytest.mark.wrong_types
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        enumerate_masks(PLANS["interval"], **options)


def test_too_many_workers():
    plan = jgc.codes.uncoded(np.full(21, 0.5), num_partitions=21)
    with pytest.raises(ValueError, match=r"at most 20 workers .* got 21"):
        enumerate_masks(plan)
    with pytest.raises(ValueError, match=r"at most 16 workers .* got 21"):
        decoded_moments(plan, decoder=decoders.least_squares)
