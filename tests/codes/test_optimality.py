"""Closed forms against the convex solver's optimum."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import jgc
from jgc import codes
from jgc.codes._optimal_structure import least_aligned_error, row_sums
from tests.codes.table import N, P, objective

pytestmark = pytest.mark.filterwarnings("ignore::jgc.codes.NegativeCoefficientWarning")

_NEAR_THE_ENDS = [0.0, 1.0, 1e-9, 1e-6, 1e-3, 1 - 1e-3, 1 - 1e-6, 1 - 1e-9]
probabilities = st.lists(
    st.floats(0.01, 0.99) | st.sampled_from(_NEAR_THE_ENDS), min_size=1, max_size=12
).filter(lambda p: min(p) < 1)


@st.composite
def problems(draw):
    """p, n and an allocation for Schemes I and II."""
    p = np.array(draw(probabilities))
    n = draw(st.integers(1, 12))
    y = row_sums(p, n)
    holders = np.flatnonzero(y > 0)
    owners = draw(st.lists(st.sampled_from(holders), min_size=n - 1, max_size=n - 1))
    sizes = (y > 0) + np.bincount(np.array(owners, int), minlength=p.size)
    return p, n, sizes


def _assert_as_good(error, optimum, n):
    assert error <= optimum * (1 + 1e-6) + 1e-12 * n**2


@settings(max_examples=80, deadline=None)
@given(problems())
def test_optimal_codes_reach_the_solvers_optimum(problem):
    p, n, sizes = problem
    solved = objective(codes.reference(p, num_partitions=n))
    closed_form = least_aligned_error(p, n)
    assert solved == pytest.approx(closed_form, rel=1e-6, abs=1e-9 * n**2)
    plans = [
        codes.interval(p, num_partitions=n),
        codes.interval(p, num_partitions=n, layers=n),
        codes.scheme_i(p, num_partitions=n),
        codes.scheme_i(p, num_partitions=n, batch_sizes=sizes),
        codes.scheme_ii(p, num_partitions=n, batch_sizes=sizes),
        codes.sparse(p, num_partitions=n),
        codes.dense(p, num_partitions=n),
    ]
    if n >= np.count_nonzero(sizes) - 1:
        plans.append(codes.scheme_ii(p, num_partitions=n))
    for plan in plans:
        assert objective(plan) == pytest.approx(closed_form, rel=1e-6, abs=1e-20)
        _assert_as_good(objective(plan), solved, n)
        alpha = plan.alpha()
        np.testing.assert_allclose(alpha.sum(axis=0), 1, atol=1e-9)
        np.testing.assert_allclose(alpha.sum(axis=1), row_sums(p, n), atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(problems(), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 0.5, 10.0]))
def test_dense_is_optimal_for_any_similarity_and_noise(problem, similarity, noise):
    p, n, _ = problem
    reference = codes.reference(
        p, num_partitions=n, gradients=similarity, noise_variance=noise
    )
    solved = objective(reference, similarity, noise)
    ours = objective(codes.dense(p, num_partitions=n), similarity, noise)
    assert solved == pytest.approx(ours, rel=1e-6, abs=1e-9 * n**2)


@st.composite
def supports(draw):
    """p and a placement that leaves every partition on a worker with p_i < 1."""
    p = np.array(draw(probabilities))
    n = draw(st.integers(1, 8))
    live = np.flatnonzero(p < 1)
    support = np.array(
        draw(
            st.lists(
                st.lists(st.booleans(), min_size=n, max_size=n),
                min_size=p.size,
                max_size=p.size,
            )
        )
    )
    for j in range(n):
        support[draw(st.sampled_from(live)), j] = True
    return p, support


@settings(max_examples=120, deadline=None)
@given(supports(), st.sampled_from([0.0, 0.3, 0.99, 1.0]))
def test_on_placement_reaches_the_solvers_optimum(problem, similarity):
    p, support = problem
    n = support.shape[1]
    ours = codes.on_placement(p, support, gradients=similarity)
    np.testing.assert_allclose(ours.alpha().sum(axis=0), 1, atol=1e-9)
    assert not ours.alpha()[~support].any()
    error = objective(ours, similarity)
    solved = codes.reference(p, num_partitions=n, gradients=similarity, support=support)
    np.testing.assert_allclose(solved.alpha().sum(axis=0), 1, atol=1e-9)
    assert objective(solved, similarity) == pytest.approx(
        error, rel=1e-6, abs=1e-8 * n**2
    )


def test_nonnegative_costs_nothing_for_aligned_gradients():
    plan = codes.reference(P, num_partitions=N, nonnegative=True)
    assert plan.edge_alpha().min() >= 0
    assert objective(plan) == pytest.approx(least_aligned_error(P, N), rel=1e-6)
    bounds = jgc.residual.bounds(plan)
    assert bounds.certified == pytest.approx(bounds.aligned, rel=1e-6)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_capacity_bounds_what_a_worker_carries(nonnegative):
    capacity = np.array([1.0, 1.5, 1.0, 2.0, 1.0, 2.0])
    plan = codes.reference(
        P, num_partitions=N, capacity=capacity, nonnegative=nonnegative
    )
    assert (np.abs(plan.alpha()).sum(axis=1) <= capacity + 1e-6).all()
    assert least_aligned_error(P, N) < objective(plan)
    loose = codes.reference(P, num_partitions=N, capacity=N)
    assert objective(loose) == pytest.approx(least_aligned_error(P, N), rel=1e-6)


def test_capacity_of_equal_reliable_workers_is_met_with_equality():
    # Two workers would carry 4 of 6 partitions each; they may carry 2.
    p = np.array([0.1, 0.1, 0.9, 0.9])
    plan = codes.reference(p, num_partitions=6, capacity=[2, 2, 6, 6])
    np.testing.assert_allclose(plan.alpha().sum(axis=1), [2, 2, 1, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 1.0}, "capacity must sum to num_partitions = 7"),
        ({"capacity": [1.0, 2.0]}, "capacity must be a number or 6"),
        ({"capacity": -1.0}, "capacity must be at least 0"),
        ({"support": np.eye(6, 7)}, "partition 6"),
        ({"support": np.ones((6, 8), bool)}, "support must be for num_partitions = 7"),
        ({"support": np.ones((5, 7), bool)}, "support must be for 6 workers"),
        ({"gradients": 1.5}, r"gradients must be a finite number in \[0, 1\], got 1.5"),
        ({"squared_norm": 0.0}, "squared_norm and noise_variance"),
        ({"noise_variance": -1.0}, "noise_variance"),
        (
            # Worker 0 alone holds the last partition and may carry half of it.
            {
                "support": np.vstack([np.ones(7), np.tile(np.arange(7) < 6, (5, 1))]),
                "capacity": [0.5, 9, 9, 9, 9, 9],
            },
            "the solver finds none",
        ),
    ],
)
def test_reference_errors(options, message):
    with pytest.raises(ValueError, match=message):
        codes.reference(P, num_partitions=7, **options)


def test_dense_is_not_optimal_for_decoders_that_look_at_who_answered():
    """At the same load the whole data everywhere is lost only where all are late."""
    everywhere = codes.fractional_repetition(P, num_partitions=N, replication=len(P))
    dense = codes.dense(P, num_partitions=N)
    assert everywhere.load == dense.load == len(P)
    one_of_them = jgc.residual.enumerate_masks(
        everywhere, decoder=jgc.decoders.representative, gradients=0.5
    )
    assert one_of_them.relative == pytest.approx(np.prod(P))
    fixed = jgc.residual.exact(dense, gradients=0.5)
    assert one_of_them.relative < 0.1 * fixed.relative


def test_layers_lead_from_interval_to_dense():
    plans = [codes.interval(P, num_partitions=N, layers=r) for r in range(1, N + 1)]
    dense = codes.dense(P, num_partitions=N)
    np.testing.assert_allclose(plans[-1].alpha(), dense.alpha(), rtol=1e-12)
    errors = [jgc.residual.exact(plan, gradients=0.0).mean for plan in plans]
    assert (np.diff(errors) < 0).all()
    loads = [plan.load for plan in plans]
    assert (np.diff(loads) > 0).all()
    for r, plan in enumerate(plans, 1):
        assert plan.num_edges <= N + P.size - 1 + (r - 1) * P.size
        assert objective(plan) == pytest.approx(least_aligned_error(P, N), rel=1e-12)
