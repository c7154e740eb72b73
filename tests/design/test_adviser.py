import numpy as np
import pytest
import scipy.optimize
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jgc import codes, residual
from jgc.design._adviser import advise, capped_shares

P = np.array([0.05, 0.3, 0.5, 0.7, 0.2, 0.9])


def test_a_capacity_of_all_the_data_gives_the_dense_code():
    found = advise(P, capacity=1.0, num_partitions=[6]).chosen
    dense = codes.dense(P, num_partitions=6)
    assert found.layers == 6
    assert not found.limited
    np.testing.assert_allclose(found.plan.alpha(), dense.alpha(), atol=1e-12)


@given(
    p=st.lists(st.floats(0.001, 0.999), min_size=2, max_size=8),
    capacity=st.floats(0.3, 1),
    n=st.integers(2, 40),
)
@settings(max_examples=60, deadline=None)
def test_what_is_advised_fits_and_is_unbiased(p, capacity, n):
    try:
        option = advise(p, capacity=capacity, num_partitions=[n]).chosen
    except ValueError:
        assume(False)
    assert option.plan.batch_sizes.max() <= capacity * n * (1 + 1e-9)
    assert option.worst_share == option.plan.batch_sizes.max() / n
    assert np.abs(residual.bias(option.plan)).max() < 1e-9
    assert option.plan.edge_alpha().min() >= -1e-9
    least = residual.exact(codes.interval(p, num_partitions=n)).mean / n**2
    assert option.aligned >= least * (1 - 1e-6)
    assert option.limited or option.aligned == pytest.approx(least)


def test_layers_use_up_the_capacity():
    for capacity in (0.5, 0.6, 0.8):
        for option in advise(P, capacity=capacity).options:
            n, plan = option.plan.num_partitions, option.plan
            if not option.limited and option.layers < n:
                more = codes.interval(P, num_partitions=n, layers=option.layers + 1)
                assert more.batch_sizes.max() / n > capacity
            assert plan.name == (
                "interval"
                if option.layers == 1
                else f"interval, {option.layers} layers"
            )


def test_more_capacity_is_never_worse():
    errors = [
        advise(P, capacity=capacity, common_part=0.0).chosen.orthogonal
        for capacity in (0.3, 0.4, 0.5, 0.7, 0.9, 1.0)
    ]
    assert (np.diff(errors) <= 1e-9).all()


@pytest.mark.parametrize("most", [0.18, 0.25, 0.5, 1.0])
def test_capped_shares_are_the_optimum(most):
    delta = P / (1 - P)
    found = scipy.optimize.minimize(
        lambda s: (delta * s**2).sum(),
        np.full(6, 1 / 6),
        bounds=[(0, most)] * 6,
        constraints={"type": "eq", "fun": lambda s: s.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    )
    shares = capped_shares(P, most)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, found.x, atol=1e-5)


def test_lost_and_perfect_workers():
    found = advise([0.0, 0.0, 1.0, 0.5], capacity=0.6).chosen
    assert found.plan.batch_sizes[2] == 0
    assert found.aligned == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "options", "message"),
    [
        (
            P,
            {"capacity": 0.1},
            r"the 6 that can answer need more than 1/6 = 0.16",
        ),
        ([0.5, 1.0], {"capacity": 0.9}, "the 1 that can answer"),
        (P, {"capacity": 1.1}, r"capacity must be a finite number in \[0, 1\]"),
        (P, {"capacity": 0.5, "num_partitions": [0]}, "num_partitions"),
        ([1.0, 1.0], {"capacity": 1.0}, "p must have an entry below 1"),
    ],
)
def test_bad_input(p, options, message):
    with pytest.raises(ValueError, match=message):
        advise(p, **options)
