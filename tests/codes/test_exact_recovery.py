"""Fractional and cyclic repetition recover g from any k − s workers."""

import itertools

import numpy as np
import pytest

from jgc import codes


def _worst_recovery(plan, num_answers):
    """The largest error in c over all sets of so many workers, and largest weight."""
    a = plan.encoding_matrix()
    error, weight = 0.0, 0.0
    for answered in itertools.combinations(range(plan.num_workers), num_answers):
        rows = a[list(answered)]
        w = np.linalg.lstsq(rows.T, np.ones(plan.num_partitions))[0]
        error = max(error, np.abs(w @ rows - 1).max())
        weight = max(weight, np.abs(w).max())
    return error, weight


@pytest.mark.parametrize("k", range(1, 10))
def test_cyclic_repetition_recovers_from_any_k_minus_s(k):
    for s in range(k):
        plan = codes.cyclic_repetition([0.3] * k, num_partitions=k, num_stragglers=s)
        assert (plan.batch_sizes == s + 1).all()
        assert np.abs(plan.edge_coefficient).max() <= 1
        error, weight = _worst_recovery(plan, k - s)
        assert error < 1e-9
        assert weight < 100


@pytest.mark.parametrize(("k", "s"), [(5, 2), (8, 3), (9, 4), (9, 0), (12, 7)])
def test_cyclic_repetition_is_the_cyclic_mds_code(k, s):
    """[7], for k − s odd: shifts of one codeword of a BCH code, and 1 among them."""
    plan = codes.cyclic_repetition([0.3] * k, num_partitions=k, num_stragglers=s)
    sent = plan.encoding_matrix()
    for row in range(k):
        np.testing.assert_allclose(sent[row], np.roll(sent[0], row), atol=1e-12)
    spectrum = np.abs(np.fft.fft(sent[0])) / np.abs(sent[0]).sum()
    used = np.minimum(np.arange(k), k - np.arange(k)) <= (k - s - 1) // 2
    assert spectrum[~used].max(initial=0) < 1e-12  # s roots, one after another
    assert spectrum[used].min() > 1e-6
    assert used.sum() == k - s


@pytest.mark.parametrize(("k", "n"), [(5, 10), (5, 13), (5, 3), (6, 8)])
def test_cyclic_repetition_in_blocks(k, n):
    plan = codes.cyclic_repetition([0.3] * k, num_partitions=n, num_stragglers=2)
    assert _worst_recovery(plan, k - 2)[0] < 1e-9
    assert plan.num_edges == 3 * n


def test_cyclic_repetition_fixed_weights_are_unbiased():
    rng = np.random.default_rng(0)
    for k, s in itertools.combinations(range(9), 2):
        k, s = max(k, s), min(k, s)
        plan = codes.cyclic_repetition(
            rng.uniform(0, 0.9, k), num_partitions=k + 3, num_stragglers=s
        )
        np.testing.assert_allclose(plan.alpha().sum(axis=0), 1, atol=1e-10)


@pytest.mark.parametrize(
    ("k", "n", "d"), [(6, 6, 2), (6, 7, 3), (7, 5, 2), (7, 2, 3), (5, 9, 5), (4, 3, 1)]
)
def test_fractional_repetition_recovers_from_any_k_minus_d_plus_1(k, n, d):
    plan = codes.fractional_repetition([0.3] * k, num_partitions=n, replication=d)
    assert (codes.placement_report(plan).replication >= d).all()
    assert _worst_recovery(plan, k - d + 1)[0] < 1e-12
    held = plan.encoding_matrix() > 0
    for left, right in itertools.combinations(held, 2):  # the same block, or apart
        assert (left == right).all() or not (left & right).any()


def test_fractional_repetition_where_d_divides_k():
    plan = codes.fractional_repetition([0.3] * 6, num_partitions=4, replication=3)
    expected = np.repeat([[1, 1, 0, 0], [0, 0, 1, 1]], 3, axis=0)
    np.testing.assert_array_equal(plan.encoding_matrix(), expected)
    np.testing.assert_array_equal(plan.weights, 1)


@pytest.mark.parametrize("d", [0, 4, 1.5, "2", None])
@pytest.mark.wrong_types
def test_replication_error(d):
    with pytest.raises(ValueError, match="replication"):
        codes.fractional_repetition([0.3] * 3, num_partitions=3, replication=d)


@pytest.mark.parametrize("s", [-1, 3, 1.5, "2", None])
@pytest.mark.wrong_types
def test_num_stragglers_error(s):
    with pytest.raises(ValueError, match="num_stragglers"):
        codes.cyclic_repetition([0.3] * 3, num_partitions=3, num_stragglers=s)
