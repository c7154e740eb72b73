"""Row sums Y and the split of α into coefficients and weights."""

import os
import sys

import numpy as np
import pytest

from jgc import codes
from jgc.codes._optimal_structure import (
    inverse_odds_shares,
    least_aligned_error,
    plan_from_alpha,
    row_sums,
)
from tests.codes.table import N, P


def test_row_sums_are_theorem_1():
    inverse_odds = (1 - P) / P
    np.testing.assert_allclose(row_sums(P, N), N * inverse_odds / inverse_odds.sum())
    assert least_aligned_error(P, N) == pytest.approx(N**2 / inverse_odds.sum())


def test_limits():
    np.testing.assert_array_equal(row_sums(np.array([0, 0.3, 0, 1]), 4), [2, 0, 2, 0])
    np.testing.assert_array_equal(row_sums(np.array([1, 0.3, 1]), 4), [0, 4, 0])
    assert least_aligned_error(np.array([0, 0.5]), 4) == 0


@pytest.mark.parametrize("tiny", [1e-300, 5e-324])
def test_extreme_p_does_not_overflow(tiny):
    p = np.array([tiny, tiny, 0.5, 1 - 1e-16])
    shares = inverse_odds_shares(p)
    np.testing.assert_allclose(shares, [0.5, 0.5, 0, 0], atol=1e-200)
    assert np.isfinite(shares).all()
    assert least_aligned_error(p, 2) == pytest.approx(2 * tiny)


def test_shares_by_group():
    p = np.array([0.2, 0.0, 0.4, 0.7, 1.0])
    shares = inverse_odds_shares(p, np.array([1, 0, 1, 0, 1]))
    alone = inverse_odds_shares(p[[0, 2, 4]])
    np.testing.assert_allclose(shares, [alone[0], 1, alone[1], 0, 0])


def test_many_workers_lose_nothing_to_rounding():
    p = np.random.default_rng(0).uniform(0.1, 0.9, 10**5)
    y = row_sums(p, p.size)
    assert abs(y.astype(np.longdouble).sum() - p.size) < 1e-10
    plan = codes.interval(p, num_partitions=p.size)
    sums = np.bincount(plan.edge_partition, plan.edge_alpha())
    assert np.abs(sums - 1).max() < 1e-9


def test_default_messages_are_weighted_means():
    plan = codes.interval(P, num_partitions=N)
    np.testing.assert_allclose(plan.encoding_matrix().sum(axis=1), 1)
    np.testing.assert_allclose((1 - P) * plan.weights, row_sums(P, N))


def test_coefficients_stay_of_gradient_size_where_alpha_cancels():
    plan = plan_from_alpha(
        np.array([0.5, 0.5]),
        worker=np.array([0, 0, 1, 1]),
        partition=np.array([0, 1, 0, 1]),
        alpha=np.array([2.0, -2.0, -1.0, 3.0]),
        num_partitions=2,
        name="cancelling",
    )
    np.testing.assert_allclose(plan.encoding_matrix(), [[1, -1], [-0.5, 1.5]])
    np.testing.assert_allclose(plan.alpha(), [[2, -2], [-1, 3]])


@pytest.mark.skipif(bool(os.environ.get("JGC_TYPECHECK")), reason="adds a frame")
def test_warning_is_given_where_the_plan_is_made():
    with pytest.warns(codes.NegativeCoefficientWarning) as record:
        codes.scheme_i([0.1, 0.9], num_partitions=3, batch_sizes=[1, 3])
    assert record[0].filename == __file__


def test_reference_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError, match=r"pip install 'jgc\[reference\]'"):
        codes.reference(P, num_partitions=N)
