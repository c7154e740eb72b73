"""Hostile arguments: an error that names one of them, or a valid plan."""

import inspect
import warnings

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from jgc import CodingPlan, codes, gradients

_PLAIN = [0.3, 0.5, 0.2, 0.6]
_HOSTILE_P = [
    [],
    0.5,
    None,
    "abc",
    ["0.5", "x"],
    [[0.5, 0.5]],
    [[0.5], [0.5, 0.1]],
    [np.nan, 0.5],
    [np.inf, 0.5],
    [-np.inf],
    [1.0, 1.0],
    [-1e-300, 0.5],
    [1 + 1e-12, 0.5],
    [1j, 0.5],
    [True, False],
    np.array([0, 1, 0]),
    np.zeros(3, np.uint8),
    {"p": 0.5},
    {0.5},
    object(),
]
_entries = st.floats(0, 1) | st.sampled_from(
    [0.0, 1.0, 1e-300, 5e-324, 1e-16, 1 - 1e-16, 0.5]
)
_p = st.sampled_from(_HOSTILE_P) | st.lists(_entries, min_size=1, max_size=9)
_n = st.integers(1, 12) | st.sampled_from(
    [0, -1, 2.0, 2.5, np.nan, "3", None, True, np.int64(4), [3]]
)
_options = {
    "balanced": st.booleans(),
    "batch_sizes": st.none() | st.lists(st.integers(-1, 5), max_size=6),
    "capacity": st.none() | st.floats(-1, 20) | st.lists(st.floats(0, 9), max_size=5),
    "expected_weights": st.none()
    | st.lists(st.floats(-1, 5) | st.sampled_from([1e-310, 1e300, np.inf]), max_size=5),
    "gradients": st.sampled_from(
        [
            *(0.0, 0.5, 1.0, 1.5, np.nan, None, "x", [0.5]),
            *(gradients.common(0.5), gradients.gram(np.eye(5))),
        ]
    ),
    "key": st.sampled_from([jax.random.key(0), jax.random.PRNGKey(1), 0, None]),
    "layers": st.integers(-1, 12) | st.sampled_from([2.5, None]),
    "noise_variance": st.sampled_from([0.0, 1.0, -1.0, np.inf]),
    "nonnegative": st.booleans(),
    "num_stragglers": st.integers(-1, 9) | st.sampled_from([0.5, None]),
    "num_workers": st.integers(-1, 9) | st.sampled_from([0.5, None]),
    "placement": st.sampled_from(
        [None, [[1]], np.ones((4, 3)), np.eye(4), np.full((2, 2), np.nan), "x"]
    ),
    "replication": st.integers(-1, 9)
    | st.sampled_from([1.5, np.nan, None, [1, 2], "2"]),
    "squared_norm": st.sampled_from([0.0, 1.0, -1.0, np.nan]),
    "sub_code": st.sampled_from([codes.interval, codes.scheme_i, codes.scheme_ii, 3]),
    "support": st.sampled_from([None, np.ones((4, 3)), np.eye(3), "x"]),
    "tolerance": st.sampled_from([1e-9, 0.0, 0.05, 1.0, np.nan, None]),
    "unbiased": st.booleans(),
}
CONSTRUCTORS = [
    constructor
    for constructor in map(codes.__dict__.get, codes.__all__)
    if inspect.isfunction(constructor)
    and "plan" not in inspect.signature(constructor).parameters
]


def test_every_option_is_drawn():
    for constructor in CONSTRUCTORS:
        names = set(inspect.signature(constructor).parameters)
        assert names - {"p", "num_partitions"} <= set(_options), constructor


def _draw(data, name):
    strategy = {"p": _p, "num_partitions": _n, **_options}[name]
    # Half of the arguments are well meant, or no plan would ever come of them.
    plain = {"p": _PLAIN, "num_partitions": 5, "key": jax.random.key(3)}
    if name in plain and data.draw(st.booleans()):
        return plain[name]
    return data.draw(strategy)


@pytest.mark.parametrize("constructor", CONSTRUCTORS, ids=lambda f: f.__name__)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
@pytest.mark.wrong_types
def test_an_error_or_a_valid_plan(constructor, data):
    parameters = inspect.signature(constructor).parameters
    arguments = {
        name: _draw(data, name)
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty or data.draw(st.booleans())
    }
    positional = [
        arguments.pop(name)
        for name, parameter in parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", codes.NegativeCoefficientWarning)
        plan, message = _outcome(constructor, positional, arguments)
    if plan is None:
        assert any(name in message for name in parameters), message
    else:
        _assert_valid(plan)


def _outcome(constructor, positional, arguments):
    try:
        return constructor(*positional, **arguments), ""
    except ValueError as error:
        return None, str(error)


def _assert_valid(plan):
    assert isinstance(plan, CodingPlan)
    p = plan.straggler_probabilities
    assert p.shape == plan.weights.shape == (plan.num_workers,)
    assert np.isfinite(plan.weights).all()
    assert np.isfinite(plan.edge_coefficient).all()
    assert np.isfinite(plan.edge_alpha()).all()
    pair = plan.edge_worker.astype(int) * plan.num_partitions + plan.edge_partition
    assert (np.diff(pair) > 0).all()
    assert (
        (plan.edge_partition >= 0) & (plan.edge_partition < plan.num_partitions)
    ).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda p, n: codes.interval(p, num_partitions=n),
        lambda p, n: codes.scheme_i(p, num_partitions=n),
        lambda p, n: codes.scheme_ii(p, num_partitions=n + 8),
        lambda p, n: codes.sparse(p, num_partitions=n),
        lambda p, n: codes.dense(p, num_partitions=n),
    ],
    ids=["interval", "scheme_i", "scheme_ii", "sparse", "dense"],
)
@settings(max_examples=80, deadline=None)
@given(
    p=st.lists(_entries, min_size=1, max_size=9).filter(lambda p: min(p) < 1),
    n=st.integers(1, 12),
)
@pytest.mark.filterwarnings("ignore::jgc.codes.NegativeCoefficientWarning")
def test_column_sums_are_1_at_any_p(make, p, n):
    plan = make(p, n)
    np.testing.assert_allclose(plan.alpha().sum(axis=0), 1, rtol=0, atol=1e-12)
    assert not plan.batch_sizes[np.array(p) == 1].any()
