"""BGC, SGC and OD: distributions, guarantees, reports, keys."""

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given, settings

from jgc import codes

RNG = np.random.default_rng(3)


def _bernoulli(key, p, n):
    return codes.bernoulli_placement(p, num_partitions=n, key=key, replication=2)


def _stochastic(key, p, n):
    return codes.stochastic(p, num_partitions=n, key=key, replication=2)


def _random_graph(key, p, n):
    return codes.random_graph(p, num_partitions=n, key=key)


def _expander(key, p, n):
    return codes.expander(p, num_partitions=n, key=key, replication=3)


every_random_code = pytest.mark.parametrize(
    "make", [_bernoulli, _stochastic, _random_graph, _expander]
)


@every_random_code
def test_key_decides(make):
    p = RNG.uniform(0.1, 0.9, 30)
    first, again, other = (
        make(jax.random.key(seed), p, 30).encoding_matrix() for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    legacy = make(jax.random.PRNGKey(0), p, 30)
    np.testing.assert_array_equal(legacy.encoding_matrix(), first)


@every_random_code
@pytest.mark.parametrize(
    "key", [0, None, "key", jax.random.split(jax.random.key(0)), np.zeros(2)]
)
@pytest.mark.wrong_types
def test_key_error(make, key):
    with pytest.raises(ValueError, match=r"key must be one jax\.random key"):
        make(key, np.full(6, 0.3), 6)


def test_bernoulli_frequencies():
    k, n, d = 40, 5000, 3.0
    plan = codes.bernoulli_placement(
        np.full(k, 0.5), num_partitions=n, key=jax.random.key(0), replication=d
    )
    held = plan.encoding_matrix() > 0
    standard_error = np.sqrt(d / k * (1 - d / k))
    assert abs(held.mean() - d / k) < 4 * standard_error / np.sqrt(k * n)
    assert np.abs(held.mean(axis=1) - d / k).max() < 5 * standard_error / np.sqrt(n)
    replication = codes.placement_report(plan).replication
    assert replication.var() == pytest.approx(d * (1 - d / k), rel=0.1)
    np.testing.assert_array_equal(plan.edge_coefficient, 1)
    np.testing.assert_array_equal(plan.weights, 1)


@pytest.mark.parametrize(("d", "edges"), [(0, 0), (4, 12)])
def test_bernoulli_extremes(d, edges):
    plan = codes.bernoulli_placement(
        [0.5] * 4, num_partitions=3, key=jax.random.key(0), replication=d
    )
    assert plan.num_edges == edges


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**31), st.data())
def test_stochastic_guarantees(k, n, seed, data):
    p = np.array(data.draw(st.lists(st.floats(0, 1), min_size=k, max_size=k)))
    p[data.draw(st.integers(0, k - 1))] = 0.5
    live = np.count_nonzero(p < 1)
    d = data.draw(
        st.integers(1, live)
        | st.lists(st.integers(1, live), min_size=n, max_size=n).filter(
            lambda d: len(d) > 0
        )
    )
    plan = codes.stochastic(
        p, num_partitions=n, key=jax.random.key(seed), replication=d
    )
    report = codes.placement_report(plan)
    np.testing.assert_array_equal(report.replication, np.broadcast_to(d, n))
    loads = plan.batch_sizes[p < 1]
    assert loads.max() - loads.min() <= 1
    assert not plan.batch_sizes[p == 1].any()
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1)
    a = plan.edge_coefficient * (1 - p[plan.edge_worker])
    np.testing.assert_allclose(a, 1 / np.broadcast_to(d, n)[plan.edge_partition])


def test_stochastic_is_pairwise_balanced():
    plan = codes.stochastic(
        np.full(20, 0.5), num_partitions=20, key=jax.random.key(0), replication=10
    )
    report = codes.placement_report(plan)
    assert report.ideal_overlap == 5
    assert report.mean_overlap == pytest.approx(20 * 45 / 190)
    assert 2 <= report.least_overlap <= report.most_overlap <= 8


@pytest.mark.parametrize("d", [0, 7, 1.5, [2, 2], "2", None, [[1] * 6]])
@pytest.mark.wrong_types
def test_stochastic_replication_error(d):
    with pytest.raises(ValueError, match="replication"):
        codes.stochastic(
            [0.3] * 6, num_partitions=5, key=jax.random.key(0), replication=d
        )


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**31), st.data())
def test_random_graph_is_simple_and_nearly_regular(n, seed, data):
    k = data.draw(st.integers((n + 1) // 2, n * (n - 1) // 2))
    plan = codes.random_graph(
        np.full(k, 0.4), num_partitions=n, key=jax.random.key(seed)
    )
    assert (plan.batch_sizes == 2).all()
    edges = plan.edge_partition.reshape(k, 2)
    assert (edges[:, 0] < edges[:, 1]).all()
    assert np.unique(edges, axis=0).shape == (k, 2)
    degrees = codes.placement_report(plan).replication
    assert degrees.max() - degrees.min() <= 1
    np.testing.assert_array_equal(plan.edge_coefficient, 1)
    if 2 * k % n == 0:
        np.testing.assert_allclose(plan.alpha().sum(axis=0), 1)


def test_random_graphs_of_four_vertices_are_equally_likely():
    # The 2-regular graphs on 4 vertices are the three 4-cycles.
    counts = {}
    for seed in range(300):
        plan = codes.random_graph(
            np.full(4, 0.4), num_partitions=4, key=jax.random.key(seed)
        )
        edges = plan.edge_partition.reshape(4, 2).tolist()
        graph = frozenset(map(tuple, edges))
        counts[graph] = counts.get(graph, 0) + 1
    assert len(counts) == 3
    assert min(counts.values()) > 60


@pytest.mark.parametrize(("k", "n"), [(10, 4), (10, 21), (3, 1), (3, 2.0)])
@pytest.mark.wrong_types
def test_random_graph_size_error(k, n):
    with pytest.raises(ValueError, match="num_partitions"):
        codes.random_graph(np.full(k, 0.4), num_partitions=n, key=jax.random.key(0))


def test_report_against_counting():
    plan = codes.bernoulli_placement(
        np.full(7, 0.5), num_partitions=9, key=jax.random.key(2), replication=3
    )
    held = (plan.encoding_matrix() > 0).astype(int)
    shared = (held.T @ held)[np.triu_indices(9, 1)]
    d = held.sum(axis=0)
    products = np.outer(d, d)[np.triu_indices(9, 1)]
    report = codes.placement_report(plan)
    assert report.least_overlap == shared.min()
    assert report.most_overlap == shared.max()
    assert report.mean_overlap == pytest.approx(shared.mean())
    workers = np.count_nonzero(plan.batch_sizes)
    assert report.ideal_overlap == pytest.approx(products.mean() / workers)


def test_report_of_one_partition():
    report = codes.placement_report(codes.dense([0.2, 0.3], num_partitions=1))
    assert report.replication.tolist() == [2]
    assert report[1:] == (0, 0.0, 0, 0.0)
