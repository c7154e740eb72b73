"""Re-design on data that is already placed."""

import numpy as np
import pytest

import jgc
from jgc import codes
from jgc.codes._optimal_structure import least_aligned_error, row_sums
from tests.codes.table import N, P, objective

pytestmark = pytest.mark.filterwarnings("ignore::jgc.codes.NegativeCoefficientWarning")
NEW_P = np.array([0.3, 0.15, 0.6, 0.25, 0.5, 0.28])


@pytest.mark.parametrize(
    "make", [codes.interval, codes.scheme_i, codes.scheme_ii], ids=lambda f: f.__name__
)
def test_on_a_tree_the_same_p_gives_the_same_code(make):
    plan = make(P, num_partitions=N)
    again = codes.on_placement(P, plan)
    np.testing.assert_allclose(again.alpha(), plan.alpha(), atol=1e-13)
    as_matrix = codes.on_placement(P, plan.encoding_matrix() != 0)
    np.testing.assert_array_equal(as_matrix.alpha(), again.alpha())


@pytest.mark.parametrize(
    "make", [codes.interval, codes.scheme_i, codes.scheme_ii, codes.dense]
)
def test_connected_placements_stay_optimal_for_new_p(make):
    plan = codes.on_placement(NEW_P, make(P, num_partitions=N))
    alpha = plan.alpha()
    np.testing.assert_allclose(alpha.sum(axis=0), 1, atol=1e-12)
    np.testing.assert_allclose(alpha.sum(axis=1), row_sums(NEW_P, N), atol=1e-12)
    assert objective(plan) == pytest.approx(least_aligned_error(NEW_P, N))


def test_on_a_full_placement_it_is_dense():
    for similarity in 0.0, 0.5, 1.0:
        plan = codes.on_placement(P, np.ones((6, N)), gradients=similarity)
        np.testing.assert_allclose(
            plan.alpha(), codes.dense(P, num_partitions=N).alpha(), atol=1e-12
        )


def test_of_cycles_the_least_orthogonal_error_is_taken():
    support = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]])
    p = np.array([0.2, 0.4, 0.6])
    ours = codes.on_placement(p, support)
    np.testing.assert_allclose(ours.alpha().sum(axis=1), row_sums(p, 3), atol=1e-12)
    error = jgc.residual.exact(ours, gradients=0.0).mean
    turn = np.array([[1, -1, 0], [0, 1, -1], [-1, 0, 1]])
    for step in 1e-3, -1e-3:
        moved = ((p / (1 - p))[:, None] * (ours.alpha() + step * turn) ** 2).sum()
        assert moved > error


def test_apart_from_each_other_components_have_their_own_shares():
    p = np.array([0.2, 0.4, 0.6, 0.5])
    support = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]])
    alpha = codes.on_placement(p, support).alpha()
    np.testing.assert_allclose(alpha.sum(axis=0), 1, atol=1e-14)
    np.testing.assert_allclose(alpha[:2].sum(axis=1), row_sums(p[:2], 2), atol=1e-14)
    np.testing.assert_allclose(alpha[2:].sum(axis=1), row_sums(p[2:], 2), atol=1e-14)


def test_without_redundancy_there_is_nothing_to_choose():
    plan = codes.on_placement(P, codes.uncoded(P, num_partitions=N))
    np.testing.assert_allclose(plan.edge_alpha(), 1)


def test_workers_that_never_answer_are_left_out():
    support = np.ones((3, 4))
    p = np.array([0.3, 1.0, 0.5])
    plan = codes.on_placement(p, support)
    np.testing.assert_array_equal(plan.batch_sizes, [4, 0, 4])
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1)


def test_workers_that_always_answer_leave_no_error():
    support = np.array([[1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]])
    p = np.array([0.0, 0.5, 0.3])
    plan = codes.on_placement(p, support)
    assert objective(plan) == pytest.approx(0, abs=1e-20)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1)


@pytest.mark.parametrize("similarity", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("p", [[1e-300, 1 - 1e-16, 0.5], [1e-300, 1e-12, 1e-200]])
def test_extreme_p(p, similarity):
    support = np.array([[1, 1, 0, 0], [0, 1, 1, 1], [1, 0, 1, 1]])
    plan = codes.on_placement(p, support, gradients=similarity)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1, atol=1e-9)


@pytest.mark.parametrize("distance", [1e-3, 1e-6, 1e-8, 1e-10, 1e-16])
def test_similarity_near_1(distance):
    support = np.random.default_rng(0).random((12, 15)) < 0.3
    support[0] = True
    p = np.linspace(0.05, 0.95, 12)
    plan = codes.on_placement(p, support, gradients=1 - distance)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1, atol=1e-10)
    limit = codes.on_placement(p, support)
    np.testing.assert_allclose(plan.alpha(), limit.alpha(), atol=100 * distance + 1e-6)


def test_p_that_moved_far_warns():
    placed = codes.scheme_ii([0.1, 0.1, 0.8, 0.8], num_partitions=8)
    with pytest.warns(codes.NegativeCoefficientWarning):
        codes.on_placement([0.8, 0.8, 0.1, 0.1], placed)


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        (np.ones((5, 7)), "placement must be for 6 workers"),
        (np.full((6, 7), 0.5), "boolean"),
        (np.ones(6), "boolean"),
        (np.ones((6, 0)), "boolean"),
        ([[1], [1, 0]], "placement must be a boolean matrix"),
        ("placement", "boolean"),
        (None, "boolean"),
        (np.eye(6, 7), "1 of 7 are on none, the first is partition 6"),
    ],
)
@pytest.mark.wrong_types
def test_placement_errors(placement, message):
    with pytest.raises(ValueError, match=message):
        codes.on_placement(P, placement)


def test_partition_on_lost_workers_only():
    with pytest.raises(ValueError, match="the first is partition 1"):
        codes.on_placement([0.3, 1.0], np.eye(2))


@pytest.mark.parametrize("smallest", [1e-100, 1e-300, 5e-324])
def test_a_tiny_p_leaves_the_others_their_proportions(smallest):
    placement = np.eye(6, dtype=bool)
    placement[:, 1] = placement[5] = True
    p = [smallest, 0.5, 0.9, 0.3, 0.2, 1 - 1e-12]
    error = [
        jgc.residual.exact(
            codes.on_placement([q, *p[1:]], placement, gradients=0.3), gradients=0.3
        ).mean
        for q in (smallest, 1e-50)
    ]
    assert error[0] == pytest.approx(error[1], rel=1e-9)
