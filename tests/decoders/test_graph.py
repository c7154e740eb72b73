"""The linear-time rule against least squares on every mask of small graphs."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jgc import decoders

from .helpers import (
    all_masks,
    best_coefficients,
    graph_plan,
    plan_of,
    random_graph_edges,
)

graph = jax.jit(decoders.graph)
coefficients = jax.jit(decoders.graph.coefficients)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_every_mask_of_random_graphs(seed):
    rng = np.random.default_rng(seed)
    plan = graph_plan(random_graph_edges(rng, 9, 7), 7)
    masks = all_masks(9)
    with jax.enable_x64(True):
        c = np.asarray(coefficients(plan, masks))
        weights = np.asarray(graph(plan, masks))
    np.testing.assert_allclose(c, best_coefficients(plan, masks), atol=1e-9)
    np.testing.assert_allclose(plan.encoding_matrix().T @ weights, c, atol=1e-12)
    assert (weights[~masks] == 0).all()


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([(0, 1), (1, 2), (0, 2)], [1, 1, 1, 0]),  # a triangle, a vertex alone
        ([(0, 1), (0, 2), (0, 3)], [1.5, 0.5, 0.5, 0.5]),  # a star
        ([(0, 1), (1, 2), (2, 3)], [1, 1, 1, 1]),  # a path of two and two
        ([(0, 1), (1, 2), (2,)], [1, 1, 1, 0]),  # a loop is an odd cycle
    ],
)
def test_components(edges, expected):
    plan = graph_plan(edges, 4)
    np.testing.assert_allclose(
        decoders.graph.coefficients(plan, np.ones(3, bool)), expected
    )


def test_a_long_path_and_a_long_odd_cycle():
    n = 501
    cycle = graph_plan([(i, (i + 1) % n) for i in range(n)], n)
    answered = np.ones(n, bool)
    np.testing.assert_allclose(coefficients(cycle, answered), 1)
    weights = np.asarray(graph(cycle, answered))
    np.testing.assert_allclose(cycle.encoding_matrix().T @ weights, 1, atol=1e-5)
    answered[0] = False  # a path of 501 vertices: sides of 251 and 250
    c = np.asarray(coefficients(cycle, answered))
    np.testing.assert_allclose(np.unique(np.round(c, 5)), [0.998, 1.002], atol=1e-4)


def test_other_plans_are_refused():
    mask = np.ones(1, bool)
    with pytest.raises(ValueError, match=r"coefficients 0 or 1, got one of 0\.5"):
        decoders.graph(plan_of([{0: 0.5}], 1), mask)
    with pytest.raises(ValueError, match="at most 2 partitions, got 3 on worker 0"):
        decoders.graph(plan_of([{0: 1.0, 1: 1.0, 2: 1.0}], 3), mask)
