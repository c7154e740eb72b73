"""Second-moment weights (42)–(43) and their limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jgc import codes
from jgc.decoders import second_moment_weights

from .helpers import P, plan_of

PROBABILITIES = hnp.arrays(float, st.integers(1, 8), elements=st.floats(0.01, 0.99))


@given(p=PROBABILITIES, noise_ratio=st.floats(1e-3, 1e3), n=st.integers(1, 12))
def test_optimal_structure_needs_one_scalar(p, noise_ratio, n):
    total = ((1 - p) / p).sum()
    scale = noise_ratio * total / (1 + noise_ratio * total)
    for plan in (codes.interval(p, num_partitions=n), codes.dense(p, num_partitions=n)):
        v = second_moment_weights(plan, noise_ratio=noise_ratio)
        np.testing.assert_allclose(v, plan.weights * scale, rtol=1e-12)


def test_the_definition_for_another_code():
    plan = codes.uncoded(P, num_partitions=9)
    s = plan.encoding_matrix().sum(axis=1)
    total = ((1 - P) / P).sum()
    v = second_moment_weights(plan, noise_ratio=2.0)
    np.testing.assert_allclose(v, 9 * 2 / (P * s * (1 + 2 * total)))


def test_limit_of_no_stragglers():
    rows = [{0: 2.0}, {1: 1.0}, {1: 4.0}]
    limit = second_moment_weights(
        plan_of(rows, 2, p=np.array([0, 0, 0.5])), noise_ratio=1.0
    )
    near = second_moment_weights(
        plan_of(rows, 2, p=np.array([1e-12, 1e-12, 0.5])), noise_ratio=1.0
    )
    np.testing.assert_allclose(limit, [0.5, 1, 0])
    np.testing.assert_allclose(near, limit, atol=1e-10)


def test_limits_of_the_noise_ratio():
    plan = codes.interval(P, num_partitions=10)
    infinite = second_moment_weights(plan, noise_ratio=np.inf)
    np.testing.assert_allclose(infinite, plan.weights, rtol=1e-12)
    assert (second_moment_weights(plan, noise_ratio=0.0) == 0).all()


def test_workers_without_a_sum_are_no_part_of_the_total():
    """(42) does not see them: D is that of the others, whoever holds nothing."""
    rows = [{0: 2.0}, {}, {1: 1.0}, {0: 1.0, 1: -1.0}]
    p = np.array([0.3, 0.0, 0.6, 0.1])
    weights = np.array([1.0, 5.0, 2.0, 3.0])
    v = second_moment_weights(plan_of(rows, 2, p=p, weights=weights), noise_ratio=2.0)
    total = 0.7 / 0.3 + 0.4 / 0.6
    scale = 2 * 2 / (1 + 2 * total)
    # The difference keeps its share of the first track, nothing has no weight.
    expected = [scale / 0.3 / 2, 0, scale / 0.6, 3 * 2 * total / (1 + 2 * total)]
    np.testing.assert_allclose(v, expected, rtol=1e-12)
    held = second_moment_weights(plan_of(rows[:1], 2, p=p[:1]), noise_ratio=2.0)
    both = second_moment_weights(plan_of(rows[:2], 2, p=p[:2]), noise_ratio=2.0)
    np.testing.assert_allclose(both, [*held, 0], rtol=1e-12)


def test_messages_without_a_sum_and_hostile_p():
    plan = plan_of([{0: 1.0, 1: -1.0}, {}, {0: 1.0}], 2, p=np.array([0.5, 0.5, 1e-300]))
    v = second_moment_weights(plan, noise_ratio=1.0)
    np.testing.assert_allclose(v, [1, 0, 2])
    never = plan_of([{0: 1.0}], 1, p=1.0)
    assert second_moment_weights(never, noise_ratio=np.inf) == 0
    differences = plan_of([{0: 1.0, 1: -1.0}], 2, weights=3.0)
    for noise_ratio in (0.0, 1.0, np.inf):
        assert second_moment_weights(differences, noise_ratio=noise_ratio) == 3


@pytest.mark.parametrize("value", [-1.0, np.nan, [1.0]])
@pytest.mark.wrong_types
def test_bad_noise_ratio(value):
    plan = codes.interval(P, num_partitions=10)
    with pytest.raises(ValueError, match="noise_ratio must be a number ≥ 0"):
        second_moment_weights(plan, noise_ratio=value)
