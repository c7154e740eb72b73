"""Algorithm 1: the number of groups, and what each sub-code makes of them."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from jgc import codes
from jgc.codes import _grouping as grouping
from jgc.codes._optimal_structure import row_sums
from tests.codes.table import P, objective


def _most_groups_by_brute_force(numerators, denominator):
    """Over all subsets that hold the first number, and what is left."""

    def most(left):
        if not left:
            return 0
        first, rest = left[0], left[1:]
        best = 0
        for size in range(len(rest) + 1):
            for others in itertools.combinations(range(len(rest)), size):
                total = first + sum(rest[i] for i in others)
                if total % denominator == 0:
                    remaining = [x for i, x in enumerate(rest) if i not in others]
                    best = max(best, 1 + most(remaining))
        return best

    return most(numerators)


@st.composite
def numbers(draw, max_size=8):
    """Numerators of fractions with an integer sum, and their denominator."""
    denominator = draw(st.integers(2, 9))
    values = draw(st.lists(st.integers(1, 12), min_size=1, max_size=max_size - 1))
    values.append(denominator - sum(values) % denominator)
    return values, denominator


@settings(max_examples=150, deadline=None)
@given(numbers())
def test_the_most_groups(problem):
    numerators, denominator = problem
    values = np.array(numerators) / denominator
    groups = grouping.integer_groups(values, 1e-9)
    _assert_grouping(groups, values)
    assert len(groups) == _most_groups_by_brute_force(numerators, denominator)


@settings(max_examples=60, deadline=None)
@given(numbers(max_size=120))
def test_heuristic_groups_are_valid(problem):
    numerators, denominator = problem
    values = np.array(numerators) / denominator
    _assert_grouping(grouping.integer_groups(values, 1e-9), values)


def _assert_grouping(groups, values):
    assert sorted(np.concatenate(groups).tolist()) == list(range(values.size))
    for group in groups:
        assert abs(values[group].sum() - np.rint(values[group].sum())) < 1e-8


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        # 3 · 0.2 + 2 · 0.7 = 2, forty times: no integer, pair or triple.
        ({0.2: 120, 0.7: 80}, 40),
        # 0.25 + 0.25 + 0.5 and 0.5 + 0.5.
        ({0.25: 60, 0.5: 41, 0.75: 0}, 41 // 2 + 15),
        ({1 / 3: 300}, 100),
    ],
)
def test_heuristic_finds_few_kinds(kinds, expected):
    values = np.repeat(list(kinds), list(kinds.values()))
    total = values.sum()
    values = np.append(values, np.ceil(total) - total) if total % 1 > 1e-9 else values
    values = np.random.default_rng(0).permutation(values)
    assert len(grouping.integer_groups(values, 1e-9)) >= expected


def test_equal_workers_with_n_equal_to_k_share_nothing():
    plan = codes.sparse([0.3] * 7, num_partitions=7)
    np.testing.assert_array_equal(plan.alpha(), np.eye(7))
    assert plan.load == 1


@pytest.mark.parametrize(
    ("k", "n", "groups"), [(4, 8, 4), (6, 4, 2), (6, 9, 3), (5, 7, 1), (30, 20, 10)]
)
def test_equal_workers_have_gcd_groups(k, n, groups):
    plan = codes.sparse([0.6] * k, num_partitions=n)
    assert plan.num_edges == n + k - groups


def test_generic_p_is_the_sub_code():
    assert codes.sparse(P, num_partitions=7).alpha() == pytest.approx(
        codes.interval(P, num_partitions=7).alpha(), abs=1e-15
    )


@pytest.mark.parametrize(
    "sub_code", [codes.interval, codes.scheme_i, codes.scheme_ii, codes.dense]
)
def test_sub_codes_have_optimal_row_sums(sub_code):
    p = np.array([0.5, 0.25, 0.5, 0.25, 0.4, 0.5, 1.0])  # Y ∝ 1, 3, 1, 3, 1.5, 1, 0
    n = 21
    plan = codes.sparse(p, num_partitions=n, sub_code=sub_code)
    alpha = plan.alpha()
    np.testing.assert_allclose(alpha.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(alpha.sum(axis=1), row_sums(p, n), atol=1e-12)
    assert objective(plan) == pytest.approx(
        objective(codes.interval(p, num_partitions=n))
    )
    assert plan.batch_sizes[-1] == 0


def test_zero_and_one_hold_as_in_other_codes():
    plan = codes.sparse([0.0, 0.3, 0.0, 1.0], num_partitions=4)
    np.testing.assert_array_equal(plan.batch_sizes, [2, 0, 2, 0])


def test_tolerance_buys_groups_for_row_sums():
    p = np.array([0.3, 0.3001, 0.2999, 0.3])
    exact = codes.sparse(p, num_partitions=4)
    rounded = codes.sparse(p, num_partitions=4, tolerance=0.01)
    assert exact.load > rounded.load == 1
    off = rounded.alpha().sum(axis=1) - row_sums(p, 4)
    assert 0 < np.abs(off).max() < 0.01
    np.testing.assert_allclose(rounded.alpha().sum(axis=0), 1)


@pytest.mark.parametrize("tolerance", [0.0, 1e-12, 0.1])
@pytest.mark.parametrize("k", [3, 18, 19, 40])
def test_any_tolerance_gives_a_code(k, tolerance):
    p = np.random.default_rng(k).uniform(0.01, 0.99, k)
    plan = codes.sparse(p, num_partitions=k, tolerance=tolerance)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1, atol=1e-12)
    assert plan.alpha().min() >= 0


@pytest.mark.parametrize("tolerance", [1e-3, 0.03, 0.1])
@pytest.mark.parametrize(("k", "n"), [(40, 2), (50, 1), (30, 31), (100, 90)])
def test_what_groups_miss_does_not_add_up(k, n, tolerance):
    p = np.random.default_rng(k).uniform(0.45, 0.55, k)
    y = row_sums(p, n)
    groups = grouping.integer_groups(y, tolerance)
    sums = np.array([y[group].sum() for group in groups])
    assert (np.abs(sums - np.rint(sums)) <= tolerance).all()
    assert np.rint(sums).sum() == n
    plan = codes.sparse(p, num_partitions=n, tolerance=tolerance)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1, atol=1e-12)


def test_many_negligible_workers_are_left_out():
    p = np.array([0.5, 0.5] + [1 - 1e-12] * 30)
    plan = codes.sparse(p, num_partitions=2)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1, atol=1e-12)


@pytest.mark.parametrize("options", [{"tolerance": 0.2}, {"tolerance": np.nan}])
def test_tolerance_error(options):
    with pytest.raises(ValueError, match="tolerance"):
        codes.sparse(P, num_partitions=7, **options)


@pytest.mark.wrong_types
def test_sub_code_errors():
    with pytest.raises(ValueError, match="sub_code must be a constructor"):
        codes.sparse(P, num_partitions=7, sub_code="interval")
    with pytest.raises(ValueError, match="sub_code must suit the group of 6 workers"):
        codes.sparse(P, num_partitions=2, sub_code=codes.scheme_ii)


@pytest.mark.slow
def test_twenty_workers_are_searched_whole():
    # Zero-sum in fives only: the best of an exponential number of groupings.
    values = np.array([0.2] * 12 + [0.7] * 8)
    groups = grouping.integer_groups(values, 1e-9)
    assert len(groups) == 4
