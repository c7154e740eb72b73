"""Codes of one's own: `CodingPlan.from_edges` and `from_matrix`."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from jgc import CodingPlan, residual

P = [0.1, 0.3, 0.6]
# Worker 1 holds nothing, and no edge comes in its place.
WORKER, PARTITION, COEFFICIENT = [2, 0, 2, 0], [1, 1, 0, 0], [4.0, 2.0, 3.0, 1.0]
MATRIX = np.array([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]])


def from_edges(**changes):
    arguments = {
        "worker": WORKER,
        "partition": PARTITION,
        "coefficient": COEFFICIENT,
        "p": P,
        "num_partitions": 2,
    } | changes
    return CodingPlan.from_edges(
        arguments.pop("worker"),
        arguments.pop("partition"),
        arguments.pop("coefficient"),
        **arguments,
    )


@st.composite
def matrices(draw):
    """A with zeros, empty rows and columns, and p that fits it."""
    shape = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    values = st.sampled_from([0.0, 0.0, 1.0]) | st.floats(-1e6, 1e6)
    matrix = draw(hnp.arrays(float, shape, elements=values))
    p = draw(hnp.arrays(float, shape[0], elements=st.floats(0, 1)))
    return matrix, p


@given(matrices(), st.randoms(use_true_random=False))
@settings(max_examples=150, deadline=None)
def test_the_encoding_matrix_comes_back(problem, random):
    matrix, p = problem
    plan = CodingPlan.from_matrix(matrix, p=p)
    np.testing.assert_array_equal(plan.encoding_matrix(), matrix)
    assert plan.num_edges == np.count_nonzero(matrix)
    edges = list(zip(*np.nonzero(matrix), strict=True))
    random.shuffle(edges)
    rows = np.array([i for i, _ in edges], int)
    columns = np.array([j for _, j in edges], int)
    again = CodingPlan.from_edges(
        rows, columns, matrix[rows, columns], p=p, num_partitions=matrix.shape[1]
    )
    for name in ("edge_worker", "edge_partition", "edge_coefficient", "weights"):
        mine, theirs = getattr(plan, name), getattr(again, name)
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype
    pair = plan.edge_worker.astype(int) * matrix.shape[1] + plan.edge_partition
    assert (np.diff(pair) > 0).all()


def test_edges_in_any_order():
    plan = from_edges(name="mine")
    np.testing.assert_array_equal(plan.encoding_matrix(), MATRIX)
    assert plan.edge_worker.tolist() == [0, 0, 2, 2]
    assert plan.edge_worker.dtype == plan.edge_partition.dtype == np.int32
    assert (plan.num_workers, plan.num_partitions, plan.name) == (3, 2, "mine")
    messages = plan.encode(np.array([10.0, 1.0]))
    np.testing.assert_allclose(messages, [12, 0, 34])


def test_default_weights_are_unbiased_where_columns_sum_to_1():
    plan = CodingPlan.from_matrix([[0.25, 1.0], [0.75, 0.0]], p=[0.2, 0.5])
    np.testing.assert_allclose(plan.weights, [1 / 0.8, 2.0])
    np.testing.assert_allclose(residual.bias(plan), 0, atol=1e-15)
    never = CodingPlan.from_matrix([[1.0], [1.0]], p=[1.0, 0.0])
    np.testing.assert_array_equal(never.weights, [0, 1])


def test_weights_of_ones_own():
    np.testing.assert_array_equal(from_edges(weights=[1, 2, -3]).weights, [1, 2, -3])
    np.testing.assert_array_equal(from_edges(weights=0.5).weights, [0.5, 0.5, 0.5])


def test_what_goes_in_is_copied():
    coefficient, p = np.array(COEFFICIENT), np.array(P)
    plan = from_edges(coefficient=coefficient, p=p, weights=p)
    coefficient[:], p[:] = 9, 1
    np.testing.assert_array_equal(plan.encoding_matrix(), MATRIX)
    np.testing.assert_array_equal(plan.straggler_probabilities, P)
    np.testing.assert_array_equal(plan.weights, P)


def test_nobody_holds_anything():
    for plan in (
        from_edges(worker=[], partition=[], coefficient=[]),
        CodingPlan.from_matrix(np.zeros((3, 2)), p=P),
    ):
        assert plan.load == 0
        np.testing.assert_array_equal(plan.encode(np.ones((2, 4))), np.zeros((3, 4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"partition": [5, 1, 0, 0]},
            r"partition must lie in \[0, 2\), .* from 0 to 5",
        ),
        ({"partition": [-1, 1, 0, 0]}, r"partition must lie in \[0, 2\), .* from -1"),
        ({"worker": [3, 0, 2, 0]}, r"worker must lie in \[0, 3\), .* from 0 to 3"),
        ({"worker": [2, 0, 2]}, r"worker must be 4 integers, .* shape \(3,\)"),
        ({"partition": [[1, 1], [0, 0]]}, r"partition must be 4 integers, .*\(2, 2\)"),
        ({"partition": [[1, 1], [0]]}, "partition must be 4 integers: "),
        ({"worker": [2.0, 0.0, 2.0, 0.0]}, "worker must be 4 integers, got float64"),
        ({"worker": [True, False] * 2}, "worker must be 4 integers, got bool"),
        (
            {"worker": [2, 0, 2, 2], "partition": [1, 1, 0, 1]},
            "worker 2 holds part.* 1",
        ),
        ({"coefficient": [1.0, np.nan, 1, 1]}, r"got coefficient\[1\] = nan"),
        ({"coefficient": [1.0, 1, 1, np.inf]}, r"got coefficient\[3\] = inf"),
        ({"coefficient": [1j, 1, 1, 1]}, "coefficient must be real numbers"),
        ({"coefficient": np.zeros((0, 3))}, "coefficient must be one-dimensional"),
        ({"coefficient": [[1.0, 2.0], [3.0]]}, "coefficient must be an array of numb"),
        ({"coefficient": 1.0}, r"coefficient must be one-dimensional, got shape \(\)"),
        ({"p": [0.1, 0.3, 1.5]}, r"p must lie in \[0, 1\], got p\[2\] = 1.5"),
        ({"p": [0.1, 0.3, np.nan]}, r"p must be finite, got p\[2\]"),
        ({"p": []}, "p must be one-dimensional and not empty"),
        ({"p": 0.5}, "p must be one-dimensional"),
        ({"num_partitions": 0}, "num_partitions must be an integer ≥ 1, got 0"),
        ({"num_partitions": 2.0}, "num_partitions must be an integer, got 2.0"),
        ({"weights": [1.0, 2.0]}, r"weights must be a number or 3 of them, .*\(2,\)"),
        ({"weights": [1.0, np.nan, 2.0]}, r"weights must be finite, got weights\[1\]"),
    ],
)
@pytest.mark.wrong_types
def test_bad_edges_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        from_edges(**changes)


@pytest.mark.parametrize(
    ("encoding", "p", "message"),
    [
        (MATRIX.T, P, r"encoding must have one row a worker, 3 .* got shape \(2, 3\)"),
        (MATRIX[0], P, r"encoding must be two-dimensional, .* got shape \(2,\)"),
        (np.zeros((3, 0)), P, "encoding must be two-dimensional, not empty"),
        (np.where(MATRIX == 4, np.nan, MATRIX), P, "encoding must be .* finite"),
        (np.where(MATRIX == 4, -np.inf, MATRIX), P, "encoding must be .* finite"),
        (MATRIX > 0, P, "encoding must be real numbers, got dtype bool"),
        ([[1.0], [1.0, 2.0], [0.0]], P, "encoding must be an array of numbers"),
        (MATRIX, [0.1, 0.3, -1.0], r"p must lie in \[0, 1\], got p\[2\] = -1"),
        (MATRIX, [[0.1], [0.3, 0.2]], "p must be an array of numbers"),
    ],
)
def test_bad_matrices_are_named(encoding, p, message):
    with pytest.raises(ValueError, match=message):
        CodingPlan.from_matrix(encoding, p=p)
