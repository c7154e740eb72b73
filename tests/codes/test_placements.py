"""Expanders and block designs: regularity, spectra, guarantees, what does not exist."""

import itertools

import jax
import numpy as np
import pytest

from jgc import codes, decoders
from jgc.codes._block_design import _designs

KEY = jax.random.key(2)


def second_eigenvalue(plan):
    """λ; the plan's encoding matrix is the adjacency matrix of its graph."""
    adjacency = plan.encoding_matrix()
    np.testing.assert_array_equal(adjacency, adjacency.T)
    return np.sort(np.abs(np.linalg.eigvalsh(adjacency)))[-2]


def all_masks(k):
    return (np.arange(1, 1 << k) >> np.arange(k)[:, None] & 1).astype(bool)


def off(plan, masks):
    """‖c − 1‖² of each, divided by what answered."""
    c = np.asarray(decoders.normalised.coefficients(plan, masks), np.float64)
    return ((c - 1) ** 2).sum(axis=0)


@pytest.mark.parametrize(
    ("k", "d"), [(9, 2), (10, 3), (60, 3), (200, 4), (101, 6), (12, 11), (12, 10)]
)
def test_expander_is_a_connected_regular_graph_with_a_gap(k, d):
    plan = codes.expander([0.2] * k, num_partitions=k, replication=d, key=KEY)
    assert (plan.batch_sizes == d).all()
    assert (codes.placement_report(plan).replication == d).all()
    assert not np.diag(plan.encoding_matrix()).any()
    # Friedman's 2√(d − 1) and a little; below d: connected and not bipartite.
    assert second_eigenvalue(plan) < min(d - 1e-3, 2 * np.sqrt(d - 1) + 0.2)


@pytest.mark.parametrize("seed", range(20))
def test_small_expanders_are_connected(seed):
    """Two triangles or K(3, 3) are as likely as the others are few."""
    key = jax.random.key(seed)
    for k, d in ((6, 3), (8, 3), (7, 2)):
        plan = codes.expander([0.2] * k, num_partitions=k, replication=d, key=key)
        assert second_eigenvalue(plan) < d - 1e-3


@pytest.mark.parametrize("m", [1, 2, 3, 7, 20])
def test_margulis_gap(m):
    plan = codes.margulis([0.2] * m**2, num_partitions=m**2)
    sent = plan.encoding_matrix()
    assert (sent.sum(axis=0) == 8).all()
    assert (sent.sum(axis=1) == 8).all()
    assert m == 1 or second_eigenvalue(plan) <= 5 * np.sqrt(2)


@pytest.mark.parametrize(
    "plan",
    [
        codes.expander([0.3] * 12, num_partitions=12, replication=4, key=KEY),
        codes.margulis([0.3] * 9, num_partitions=9),
    ],
    ids=lambda plan: plan.name,
)
def test_expanders_keep_their_bound_for_every_set_of_stragglers(plan):
    k, degree = plan.num_workers, plan.encoding_matrix()[0].sum()
    masks = all_masks(k)
    answers = masks.sum(axis=0)
    bound = (second_eigenvalue(plan) / degree) ** 2 * k * (k - answers) / answers
    errors = off(plan, masks)
    assert (errors <= bound + 1e-4).all()
    some = answers < k
    assert (errors[some] / bound[some]).max() > 0.5  # a bound that means something


DESIGNS = [one for one in _designs(60) if one.num_points > 1]


@pytest.mark.parametrize(
    "design", DESIGNS, ids=lambda one: f"{one.num_blocks}-{one.replication}"
)
def test_every_pair_of_points_is_on_as_many_workers(design):
    k, r, v = design.num_blocks, design.replication, design.num_points
    plan = codes.block_design([0.2] * k, num_partitions=v, replication=r)
    held = plan.encoding_matrix()
    meetings = held.T @ held
    np.testing.assert_array_equal(np.diag(meetings), r)
    others = meetings[~np.eye(v, dtype=bool)]
    size = plan.batch_sizes
    assert (size == size[0]).all()
    np.testing.assert_array_equal(others, r * (size[0] - 1) / (v - 1))


def test_designs_that_are_known():
    found = {(one.num_blocks, one.replication, one.num_points) for one in _designs(31)}
    for k, r, v in (
        *((7, 3, 7), (13, 4, 13), (31, 6, 31)),  # projective planes
        *((6, 3, 4), (12, 4, 9), (30, 6, 25)),  # affine planes
        *((3, 2, 3), (10, 4, 5), (28, 7, 8)),  # pairs
        *((26, 6, 13), (12, 4, 9)),  # triples
        *((11, 5, 11), (19, 9, 19)),  # squares
    ):
        assert (k, r, v) in found
    assert {one.num_points for one in _designs(300) if one.make().shape[1] == 3} >= {
        *(7, 9, 13, 15, 19, 21, 25, 27, 31, 33, 37, 39)
    }


@pytest.mark.parametrize(("k", "r"), [(7, 3), (11, 5)])
def test_where_workers_are_as_many_as_points_all_stragglers_are_alike(k, r):
    plan = codes.block_design([0.3] * k, num_partitions=k, replication=r)
    masks = all_masks(k)
    errors, answers = off(plan, masks), masks.sum(axis=0)
    for number in range(1, k + 1):
        of_number = errors[answers == number]
        np.testing.assert_allclose(of_number, of_number[0], rtol=1e-3, atol=1e-4)


def test_points_in_blocks_of_partitions():
    """More partitions than points, and fewer: loads stay even, pairs stay balanced."""
    plan = codes.block_design([0.2] * 7, num_partitions=21, replication=3)
    assert (plan.batch_sizes == 9).all()
    assert plan.load == 3
    few = codes.block_design([0.2] * 13, num_partitions=5, replication=4)
    assert (codes.placement_report(few).replication == 4).all()
    assert few.load == 4
    held = few.encoding_matrix()
    pairs = [held[:, a] @ held[:, b] for a, b in itertools.combinations(range(5), 2)]
    assert set(pairs) == {1}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: codes.block_design([0.2] * 7, num_partitions=7, replication=2),
            r"replication must be 3 for a design with k = 7 blocks, got 2",
        ),
        (
            lambda: codes.block_design([0.2] * 8, num_partitions=8, replication=3),
            r"p must be of as many workers .*6 \(replication 3\), 7 .*got 8",
        ),
        (
            lambda: codes.margulis([0.2] * 8, num_partitions=8),
            "p must be of k = m² workers, such as 4 or 9, got 8",
        ),
        (
            lambda: codes.expander([0.2] * 9, num_partitions=9, replication=3, key=KEY),
            r"replication must be .* with k = 9 .*: 2, 4, 6, 8; got 3",
        ),
        (
            lambda: codes.expander([0.2] * 2, num_partitions=9, replication=1, key=KEY),
            r"replication must be .*there is none; got 1",
        ),
    ],
)
def test_what_does_not_exist_is_refused_with_what_does(make, message):
    with pytest.raises(ValueError, match=message):
        make()
