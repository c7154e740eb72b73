"""The optimal decoder against numpy.linalg.lstsq, rank-deficient masks included."""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jgc import codes, decoders
from jgc.decoders._structure import structure_of

from .helpers import all_masks, best_coefficients, case_plans, plan_of

PLANS = case_plans()

# One compilation per shape and decoder.
jitted = cache(jax.jit)


def decoded(plan, masks, *, specialised=False):
    decoder = decoders.least_squares
    with jax.enable_x64(True):
        if specialised:
            decoder = decoder.specialised([plan])
        return np.asarray(jitted(decoder)(replace(plan, name=""), masks))


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("specialised", [False, True])
def test_every_mask(name, specialised):
    plan, masks = PLANS[name], all_masks(8)
    weights = decoded(plan, masks, specialised=specialised)
    assert (weights[~masks] == 0).all()
    c = plan.encoding_matrix().T @ weights
    np.testing.assert_allclose(c, best_coefficients(plan, masks), atol=1e-8)


@pytest.mark.parametrize("name", ["cyclic", "interval", "random_graph"])
def test_every_mask_in_float32(name):
    plan, masks = PLANS[name], all_masks(8)
    weights = np.asarray(jitted(decoders.least_squares)(plan, masks), np.float64)
    c = plan.encoding_matrix().T @ weights
    best = ((best_coefficients(plan, masks) - 1) ** 2).sum(axis=0)
    np.testing.assert_allclose(((c - 1) ** 2).sum(axis=0), best, atol=1e-5)


def test_rank_deficient_masks_have_the_least_norm():
    plan = PLANS["random_graph"]  # rows of equal norm
    masks = all_masks(8)
    matrix = plan.encoding_matrix()
    expected = np.zeros(masks.shape)
    for t, mask in enumerate(masks.T):
        if mask.any():
            expected[mask, t] = np.linalg.lstsq(
                matrix[mask].T, np.ones(7), rcond=1e-10
            )[0]
    assert any(np.linalg.matrix_rank(matrix[m]) < m.sum() for m in masks.T)
    np.testing.assert_allclose(decoded(plan, masks), expected, atol=1e-4)


@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3))
@settings(max_examples=15, deadline=None)
def test_rescaling_a_message_rescales_its_weight(seed, scale):
    rng = np.random.default_rng(seed)
    rows = [
        {j: float(rng.normal()) for j in rng.choice(5, 3, replace=False).tolist()}
        for _ in range(6)
    ]
    scaled = [
        {j: a * scale for j, a in row.items()} if i == 2 else row
        for i, row in enumerate(rows)
    ]
    masks = all_masks(6)
    c = [
        plan.encoding_matrix().T @ decoded(plan, masks)
        for plan in (plan_of(rows, 5), plan_of(scaled, 5))
    ]
    np.testing.assert_allclose(c[0], c[1], atol=1e-6)


def test_nothing_answered_and_workers_without_data():
    plan = plan_of([{0: 2.0}, {}, {1: 0.0}], 2)
    weights = decoded(plan, np.array([[0, 1], [0, 1], [0, 1]], bool))
    np.testing.assert_allclose(weights, [[0, 0.5], [0, 0], [0, 0]], atol=1e-9)


def chain_plan(k):
    """Each worker shares partitions with two neighbours, in a shuffled order."""
    rng = np.random.default_rng(k)
    rows = [
        {j: float(rng.uniform(0.2, 1)) for j in range(i, i + 3) if j < k}
        for i in rng.permutation(k)
    ]
    return plan_of(rows, k)


@pytest.mark.parametrize("specialised", [False, True])
def test_many_workers(specialised):
    plan = chain_plan(40)
    rng = np.random.default_rng(0)
    answers = np.array([0.1, 0.5, 0.6, 0.9, 0.95, 1.0]).repeat(4)
    masks = rng.random((40, 24)) < answers
    c = plan.encoding_matrix().T @ decoded(plan, masks, specialised=specialised)
    np.testing.assert_allclose(c, best_coefficients(plan, masks), atol=1e-6)


def test_narrow_codes_are_specialised_and_wide_ones_are_not():
    rng = np.random.default_rng(0)
    narrow = chain_plan(40)
    wide = plan_of([dict(enumerate(rng.normal(size=4))) for _ in range(40)], 4)
    assert decoders.least_squares.specialised([narrow]) != decoders.least_squares
    assert decoders.least_squares.specialised([wide]) is decoders.least_squares
    # Equal each time, or jit would compile again.
    traces = []

    @jax.jit
    def weights(decoder):
        traces.append(None)
        return decoder(narrow, np.ones(40, bool))

    for _ in range(2):
        weights(decoders.least_squares.specialised([narrow]))
    assert len(traces) == 1


def test_workers_with_equal_messages_decode_as_one():
    # Copies of one message, scaled, opposite and alone; and two plans at once.
    rows = [{0: 1.0, 1: 2.0}, {2: 1.0}, {0: 2.0, 1: 4.0}, {0: -1.0, 1: -2.0}, {2: 3.0}]
    plan = plan_of(rows, 3)
    structure = structure_of([plan])
    assert [structure.group[0] == g for g in structure.group] == [
        True,
        False,
        True,
        False,
        False,
    ]
    masks = all_masks(5)
    np.testing.assert_allclose(
        decoded(plan, masks, specialised=True), decoded(plan, masks), atol=1e-4
    )
    other = plan_of([{0: 1.0}] * 4 + [{1: 1.0}], 3)
    both = structure_of([plan, other])
    assert both.group[1] != both.group[4]
    assert both.group[0] == both.group[2]


def test_an_interval_code_is_narrow_once_equal_workers_are_one():
    p = np.random.default_rng(0).uniform(0.1, 0.9, 300)
    structure = structure_of([codes.interval(p, num_partitions=300)])
    assert structure.bandwidth <= 3
    assert len(structure.representative) < 300
    dense = structure_of([codes.dense(p, num_partitions=5)])
    assert len(dense.representative) == 1


def test_the_band_is_that_of_any_number_of_plans():
    p = np.linspace(0.1, 0.6, 12)
    plan = codes.cyclic_repetition(p, num_partitions=12, num_stragglers=1)
    one = structure_of([plan])
    assert one.bandwidth == 2
    assert structure_of([plan] * 256) == one  # no 8-bit count of them
