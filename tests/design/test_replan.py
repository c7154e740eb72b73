import functools
import itertools

import numpy as np
import pytest

import jgc
from jgc.design import replan

N = 5
CODES = {
    "fractional_repetition": functools.partial(
        jgc.codes.fractional_repetition, num_partitions=N, replication=2
    ),
    "interval": functools.partial(jgc.codes.interval, num_partitions=N),
    "two_layers": functools.partial(jgc.codes.interval, num_partitions=N, layers=2),
}
# Workers before, and for those afterwards who they were.
CHANGES = [
    (4, [2, -1, 0, -1]),
    (4, [3, 1]),
    (3, [1, 0, 2, -1]),
    (2, [-1, -1, -1]),
    (4, [1, 2, 3, 0]),
]
SIZES = np.array([3.0, 0.0, 1.0, 7.0, 2.0])


def held(plan):
    return plan.encoding_matrix() != 0


def held_so_far(plan, was):
    return np.array([held(plan)[w] if w >= 0 else np.zeros(N, bool) for w in was])


def least_by_trying(old, new, sizes, partitions):
    """Of every order of the workers, and of the partitions where they may change."""
    k = len(old)
    orders = list(itertools.permutations(range(N))) if partitions else [range(N)]
    columns = np.array(orders)
    best = np.inf
    for order in itertools.permutations(range(k)):
        placed = new[list(order)][:, columns].swapaxes(0, 1)  # (orders, k, n)
        best = min(best, ((placed & ~old) * sizes).sum(axis=(1, 2)).min())
    return best


@pytest.mark.parametrize("name", CODES)
@pytest.mark.parametrize(("before", "was"), CHANGES)
@pytest.mark.parametrize("partitions", [True, False])
@pytest.mark.parametrize("sizes", [None, SIZES], ids=["equal", "unequal"])
def test_no_order_moves_less(name, before, was, partitions, sizes):
    code = CODES[name]
    plan, k = code([0.2] * before), len(was)
    found = replan(
        plan,
        code,
        [0.2] * k,
        was=was,
        partition_sizes=sizes,
        relabel_partitions=partitions,
    )
    weight = np.ones(N) if sizes is None else sizes
    old, made = held_so_far(plan, was), code([0.2] * k)
    received = held(found.plan) & ~old
    np.testing.assert_array_equal(found.received, received)
    assert found.moved == (received * weight).sum()
    assert found.moved == least_by_trying(old, held(made), weight, partitions)
    assert found.in_order == ((held(made) & ~old) * weight).sum()
    assert found.least <= found.moved <= found.in_order
    # It is the code's plan.
    assert jgc.residual.exact(found.plan).mean == pytest.approx(
        jgc.residual.exact(made).mean
    )
    np.testing.assert_allclose(
        np.sort(jgc.residual.bias(found.plan)), np.sort(jgc.residual.bias(made))
    )


def test_what_counting_says_may_be_out_of_reach():
    """All partitions are there, but those who join must have some."""
    code = functools.partial(jgc.codes.straggler_free, num_partitions=4)
    found = replan(code(2), lambda p: code(p.size), [0.1] * 4, was=[0, 1, -1, -1])
    assert (found.moved, found.least, found.in_order) == (2, 0, 3)


def test_a_code_that_looks_at_p():
    """Workers have the p that they had, and the plan is unbiased for them."""
    rng = np.random.default_rng(0)
    code = functools.partial(jgc.codes.interval, num_partitions=20, layers=2)
    saved = 0.0
    for _ in range(5):
        p = rng.uniform(0.05, 0.6, 8)
        stays = rng.permutation(8)[:5]
        now = np.concatenate([p[stays], rng.uniform(0.05, 0.6, 2)])
        found = replan(code(p), code, now, was=[*stays, -1, -1])
        np.testing.assert_array_equal(found.plan.straggler_probabilities, now)
        assert np.abs(jgc.residual.bias(found.plan)).max() < 1e-9
        assert found.least <= found.moved <= found.in_order
        saved += found.in_order - found.moved
    assert saved > 0


def test_who_stays_keeps_everything():
    code = functools.partial(jgc.codes.interval, num_partitions=6)
    p = [0.1, 0.4, 0.2]
    plan = code(p)
    found = replan(plan, code, p, was=[0, 1, 2])
    assert found.moved == found.in_order == found.least == 0
    np.testing.assert_array_equal(found.plan.encoding_matrix(), plan.encoding_matrix())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"was": [0, 0]}, "was must name"),
        ({"was": [0, 3]}, "was must name"),
        ({"was": [0, -2]}, "was must name"),
        ({"was": [0]}, "was must name"),
        ({"was": [0.0, 1.0]}, "was must name"),
        ({"p": [0.1, 1.2]}, "p must lie"),
        ({"partition_sizes": [-1.0] * N}, "partition_sizes must be ≥ 0"),
        ({"partition_sizes": [1.0]}, "partition_sizes"),
        ({"code": lambda p: CODES["interval"]([0.1])}, "plan of 2 workers and 5"),
        ({"code": lambda p: p}, "code must return a plan"),
    ],
)
@pytest.mark.wrong_types
def test_bad_arguments(change, words):
    code = CODES["interval"]
    good = {"code": code, "p": [0.1, 0.2], "was": [0, 2]}
    with pytest.raises(ValueError, match=words):
        replan(code([0.1] * 3), **(good | change))
