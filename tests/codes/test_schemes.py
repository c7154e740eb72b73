"""Schemes I and II: their allocations, defaults and given ones."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import jgc
from jgc import codes
from jgc.codes import _allocation as allocation
from jgc.codes._optimal_structure import row_sums
from tests.codes.table import N, P

pytestmark = pytest.mark.filterwarnings("ignore::jgc.codes.NegativeCoefficientWarning")
probabilities = st.lists(
    st.floats(0.01, 0.99) | st.sampled_from([0.0, 1.0, 1e-9, 1 - 1e-9]),
    min_size=1,
    max_size=10,
).filter(lambda p: min(p) < 1)


@settings(max_examples=150, deadline=None)
@given(probabilities, st.integers(1, 20))
def test_defaults_are_feasible_and_follow_y(p, n):
    p = np.array(p)
    y = row_sums(p, n)
    order = np.argsort(p, kind="stable")
    first = allocation.default_for_scheme_i(y, n)
    np.testing.assert_array_equal(allocation.checked(first, p, y, n), first)
    assert (np.abs(first - 1 - y)[y > 0] < 1 + 1e-9).all()
    second = allocation.default_for_scheme_ii(y[order], n)
    again = allocation.checked(second, p[order], y[order], n)
    np.testing.assert_array_equal(again, second)


@settings(max_examples=100, deadline=None)
@given(probabilities, st.integers(0, 10))
def test_scheme_ii_is_by_default_the_interval_code(p, spare):
    n = max(np.count_nonzero(row_sums(np.array(p), 1)) - 1, 1) + spare
    plan = codes.scheme_ii(p, num_partitions=n)
    interval = codes.interval(p, num_partitions=n)
    np.testing.assert_allclose(plan.alpha(), interval.alpha(), rtol=0, atol=1e-13)


def test_default_of_scheme_i_is_the_best_rounding():
    rng = np.random.default_rng(1)
    for _ in range(20):
        p = rng.uniform(0.05, 0.95, 5)
        y = row_sums(p, 6)
        default = jgc.residual.bounds(codes.scheme_i(p, num_partitions=6)).certified
        floors = np.floor(y).astype(int)
        for mask in range(32):
            sizes = floors + 1 + [(mask >> i) & 1 for i in range(5)]
            if sizes.sum() == 6 + 5 - 1:
                other = codes.scheme_i(p, num_partitions=6, batch_sizes=sizes)
                assert default <= jgc.residual.bounds(other).certified * (1 + 1e-12)


def test_scheme_i_is_24():
    sizes = np.array([2, 3, 1, 2, 2, 2])
    plan = codes.scheme_i(P, num_partitions=N, batch_sizes=sizes)
    y, alpha = row_sums(P, N), plan.alpha()
    np.testing.assert_allclose(alpha[:, 0], y - sizes + 1)
    assert np.sort(alpha[:, 1:], axis=0)[-1] == pytest.approx(1)
    assert np.count_nonzero(alpha[:, 1:]) == N - 1
    np.testing.assert_array_equal(plan.batch_sizes, sizes)


def test_scheme_ii_neighbours_share_one_partition():
    sizes = [2, 3, 1, 2, 2, 2]  # only the most probable straggler has one alone
    plan = codes.scheme_ii(P, num_partitions=N, batch_sizes=sizes)
    held = plan.alpha()[np.argsort(P)] != 0
    shared = held.astype(int) @ held.T
    for i in range(P.size - 1):
        assert shared[i, i + 1] == 1
        assert not shared[i, i + 2 :].any()


@pytest.mark.parametrize("scheme", [codes.scheme_i, codes.scheme_ii])
@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ([2, 2, 2, 2, 2], "batch_sizes must be 6 integers ≥ 0"),
        ([2, 2, 2, 2, 2, 1.5], "batch_sizes must be 6 integers ≥ 0"),
        ([2, 2, 2, 2, 2, -1], "batch_sizes must be 6 integers ≥ 0"),
        ([2, 2, 2, 2, 2, 3], "batch_sizes must sum to n [+] k − 1 = 12"),
        ([0, 3, 3, 2, 2, 2], r"batch_sizes\[0\] must be at least 1"),
        ([np.nan] * 6, "batch_sizes must be finite"),
        ("222222", "batch_sizes must be real numbers"),
    ],
)
def test_batch_sizes_errors(scheme, sizes, message):
    with pytest.raises(ValueError, match=message):
        scheme(P, num_partitions=N, batch_sizes=sizes)


@pytest.mark.parametrize("scheme", [codes.scheme_i, codes.scheme_ii])
def test_data_for_a_lost_worker(scheme):
    with pytest.raises(ValueError, match=r"batch_sizes\[1\] must be 0 because p\[1\]"):
        scheme([0.5, 1.0], num_partitions=3, batch_sizes=[3, 1])


def test_scheme_ii_needs_partitions():
    with pytest.raises(ValueError, match="num_partitions must be at least k − 1 = 5"):
        codes.scheme_ii(P, num_partitions=4)
    sizes = [1, 1, 1, 1, 1, 4]
    plan = codes.scheme_ii(P, num_partitions=4, batch_sizes=sizes)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1)


def test_layers_error():
    with pytest.raises(ValueError, match="layers must be at most num_partitions = 7"):
        codes.interval(P, num_partitions=N, layers=8)
