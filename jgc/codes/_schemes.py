"""Schemes I and II: the paper's optimal codes of load (n + k − 1)/n."""

import numpy as np
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes import _allocation as allocation
from jgc.codes._optimal_structure import plan_from_alpha, row_sums, warn_if_negative


def scheme_i(
    p: ArrayLike,
    *,
    num_partitions: int,
    batch_sizes: ArrayLike | None = None,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """Scheme I (24): all workers share one partition, the others are exclusive.

    α_i = Y_i − b_i + 1 on the shared partition and 1 on the b_i − 1 exclusive ones.
    Unbiased; of all unbiased codes with fixed weights the least error for aligned
    gradients (Theorem 1), load (n + k − 1)/n. Gradients that differ between partitions
    cost it more than `interval`.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order.
        num_partitions: n ≥ 1.
        batch_sizes: b_i (k,), in p's order, at least 1 with sum n + k − 1; workers
            that never answer (p_i = 1) have 0 and do not count in k. The default
            follows Y.
        expected_weights: w̃_i = (1 − p_i) w_i (17), positive (k,); any choice decodes
            to the same gradient. The default makes messages weighted means.

    Raises:
        ValueError: an argument out of its range, or an infeasible `batch_sizes`.

    Warns:
        NegativeCoefficientWarning: some α < 0, so that Lemma 1's bound may fail.

    Example:
        >>> plan = scheme_i([0.25, 0.5, 0.5], num_partitions=6)
        >>> print(plan.alpha().round(2))  # Y = 3.6, 1.2, 1.2
        [[0.6 1.  1.  1.  0.  0. ]
         [0.2 0.  0.  0.  1.  0. ]
         [0.2 0.  0.  0.  0.  1. ]]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    y = row_sums(p, n)
    if batch_sizes is None:
        sizes = allocation.default_for_scheme_i(y, n)
    else:
        sizes = allocation.checked(batch_sizes, p, y, n)
    order = np.argsort(p, kind="stable")
    exclusive = np.maximum(sizes[order] - 1, 0)
    holders = np.flatnonzero(sizes > 0)
    plan = plan_from_alpha(
        p,
        worker=np.concatenate([holders, np.repeat(order, exclusive)]),
        partition=np.concatenate([np.zeros(holders.size, np.int64), np.arange(1, n)]),
        alpha=np.concatenate([y[holders] - sizes[holders] + 1, np.ones(n - 1)]),
        num_partitions=n,
        name="scheme_i",
        expected_weights=expected_weights,
    )
    return warn_if_negative(plan)


def scheme_ii(
    p: ArrayLike,
    *,
    num_partitions: int,
    batch_sizes: ArrayLike | None = None,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """Scheme II (25–27): neighbours in the order of p share exactly one partition.

    Unbiased; of all unbiased codes with fixed weights the least error for aligned
    gradients (Theorem 1), load (n + k − 1)/n; no partition is on more than two workers
    where b_i ≥ 2 but at the ends. Gradients that differ between partitions cost it more
    than `interval` unless b follows Y: then it is the interval code.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order.
        num_partitions: n ≥ k − 1, where k counts the workers with data, as the paper's
            b_i ≥ 2 entails; any n ≥ 1 when `batch_sizes` are given.
        batch_sizes: b_i (k,), in p's order, at least 1 with sum n + k − 1; workers that
            never answer (p_i = 1) have 0 and do not count in k. A worker with b_i = 1
            shares its one partition with both neighbours; the paper has such workers
            at the ends only, but its formulas hold [ours]. The default follows Y, so
            that no α is negative.
        expected_weights: w̃_i = (1 − p_i) w_i (17), positive (k,); any choice decodes
            to the same gradient. The default makes messages weighted means.

    Raises:
        ValueError: an argument out of its range, too few partitions, or an infeasible
            `batch_sizes`.

    Warns:
        NegativeCoefficientWarning: some α < 0, so that Lemma 1's bound may fail.

    Example:
        >>> plan = scheme_ii([0.25, 0.5, 0.5], num_partitions=6)
        >>> print(plan.alpha().round(2))  # Y = 3.6, 1.2, 1.2
        [[1.  1.  1.  0.6 0.  0. ]
         [0.  0.  0.  0.4 0.8 0. ]
         [0.  0.  0.  0.  0.2 1. ]]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    y = row_sums(p, n)
    order = np.argsort(p, kind="stable")
    if batch_sizes is None:
        _check_enough_partitions(int((y > 0).sum()), n)
        sizes = allocation.default_for_scheme_ii(y[order], n)
    else:
        sizes = allocation.checked(batch_sizes, p, y, n)[order]
    chain, sizes = order[sizes > 0], sizes[sizes > 0]

    # On the line [0, n] with partition j as [j, j + 1], worker i covers what lies
    # between the cuts Y_1 + … + Y_{i−1} and Y_1 + … + Y_i; it shares the partition
    # that it begins and the one that it ends with. A cut outside the partition
    # that two workers share makes one of their α negative.
    cuts = np.cumsum(y[chain].astype(np.longdouble))[:-1]
    first = np.concatenate([[0], np.cumsum(sizes - 1)[:-1]])
    worker = np.repeat(chain, sizes)
    start = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    partition = np.arange(worker.size) - np.repeat(start - first, sizes)
    covered_by_left = (cuts - first[1:]).astype(np.float64)
    alpha = np.ones(worker.size)
    alpha[start[1:]] = 1 - covered_by_left
    alpha[start[1:] - 1] = covered_by_left
    alpha[start[sizes == 1]] = y[chain[sizes == 1]]
    plan = plan_from_alpha(
        p,
        worker,
        partition,
        alpha,
        num_partitions=n,
        name="scheme_ii",
        expected_weights=expected_weights,
    )
    return warn_if_negative(plan)


def _check_enough_partitions(num_holders: int, n: int) -> None:
    if n < num_holders - 1:
        raise ValueError(
            f"num_partitions must be at least k − 1 = {num_holders - 1} in Scheme II, "
            f"got {n}; give batch_sizes, or take jgc.codes.interval, which has no limit"
        )
