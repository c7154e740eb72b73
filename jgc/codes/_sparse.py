"""The sparse code, Algorithm 1: independent groups with optimal codes of their own."""

import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._grouping import integer_groups
from jgc.codes._interval import interval, overlaps
from jgc.codes._optimal_structure import (
    NegativeCoefficientWarning,
    inverse_odds_shares,
    plan_from_alpha,
    row_sums,
    warn_if_negative,
)


def sparse(
    p: ArrayLike,
    *,
    num_partitions: int,
    sub_code: Callable[..., CodingPlan] = interval,
    tolerance: float = 1e-9,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """Algorithm 1: groups of workers whose Y_i sum to integers share nothing.

    Row sums, hence the aligned error, are those of the other optimal codes; each group
    saves an edge: load (n + k − G)/n (40) with G groups, and 1 for equal p and n = k,
    where every worker has a partition of its own. Generic p have one group only, and
    this is `sub_code`; good for a few kinds of worker. Less sharing is more error for
    gradients that differ between partitions.

    G is as large as can be when at most 20 workers are left once those with an integer
    Y_i, and pairs with an integer sum, are set aside [ours]; otherwise it is found by a
    heuristic (`jgc.codes._grouping`). The paper's recursive split is greedy.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order.
        num_partitions: n ≥ 1.
        sub_code: the code of a group, called with its p and `num_partitions`:
            `interval` or another with optimal row sums, such as `scheme_i` or
            `scheme_ii`. Others than `interval` are called group by group.
        tolerance: how far the sum of a group's Y_i may be from an integer, from 0 to
            0.1; its row sums are off by as much together. The default allows for
            rounding.
        expected_weights: w̃_i = (1 − p_i) w_i (17), positive (k,); any choice decodes
            to the same gradient. The default makes messages weighted means.

    Raises:
        ValueError: an argument out of its range, or a group too large for `sub_code`.

    Warns:
        NegativeCoefficientWarning: some α < 0, so that Lemma 1's bound may fail.

    Example:
        >>> plan = sparse([0.2, 0.2, 0.5, 0.5], num_partitions=4)
        >>> print(plan.alpha().round(2))  # Y = 1.6, 1.6, 0.4, 0.4: two groups of sum 2
        [[1.  0.6 0.  0. ]
         [0.  0.  1.  0.6]
         [0.  0.  0.  0.4]
         [0.  0.4 0.  0. ]]
        >>> plan.load  # 1.75 of `interval`
        1.5
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    tolerance = _checks.scalar("tolerance", tolerance, 0, 0.1)
    if not callable(sub_code):
        raise ValueError(
            "sub_code must be a constructor such as jgc.codes.interval, got "
            f"{sub_code!r}"
        )
    worker, group, sizes = _grouped(row_sums(p, n), tolerance)
    if sub_code is interval:
        shares = inverse_odds_shares(p[worker], group)
        order = np.lexsort((p[worker], group))
        rank, partition, alpha = overlaps((sizes[group] * shares)[order], n)
        worker = worker[order][rank]
    else:
        worker, partition, alpha = _by_group(p, worker, group, sizes, sub_code)
    plan = plan_from_alpha(
        p,
        worker,
        partition,
        alpha,
        num_partitions=n,
        name="sparse",
        expected_weights=expected_weights,
    )
    return warn_if_negative(plan)


def _grouped(
    y: Float[np.ndarray, " k"], tolerance: float
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " G"]]:
    """Workers with data, the group of each, and the partitions of each group.

    Groups are in the order of their first workers. A group whose sum rounds to 0
    holds nothing.
    """
    holders = np.flatnonzero(y > 0)
    groups = integer_groups(y[holders], tolerance)
    group = np.empty(holders.size, np.int64)
    group[np.concatenate(groups)] = np.repeat(
        np.arange(len(groups)), [members.size for members in groups]
    )
    sizes = np.rint(np.bincount(group, weights=y[holders])).astype(np.int64)
    kept = sizes[group] > 0
    holders, group = holders[kept], group[kept]
    number, first, group = np.unique(group, return_index=True, return_inverse=True)
    order = np.argsort(first)
    new_number = np.empty(order.size, np.int64)
    new_number[order] = np.arange(order.size)
    return holders, new_number[group], sizes[number][order]


def _by_group(
    p: Float[np.ndarray, " k"],
    worker: Int[np.ndarray, " m"],
    group: Int[np.ndarray, " m"],
    sizes: Int[np.ndarray, " G"],
    sub_code: Callable[..., CodingPlan],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges (worker, partition, α) of every group's own code."""
    order = np.argsort(group, kind="stable")
    members = np.split(worker[order], np.cumsum(np.bincount(group))[:-1])
    first = np.cumsum(sizes) - sizes
    edges: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NegativeCoefficientWarning)  # once, for all
        for g, indices in enumerate(members):
            try:
                plan = sub_code(p[indices], num_partitions=int(sizes[g]))
            except ValueError as error:
                raise ValueError(
                    f"sub_code must suit the group of {indices.size} workers with "
                    f"{sizes[g]} partitions: {error}"
                ) from error
            own_worker = indices[np.asarray(plan.edge_worker)]
            own_partition = first[g] + np.asarray(plan.edge_partition)
            edges.append((own_worker, own_partition, plan.edge_alpha()))
    all_workers, all_partitions, all_alphas = zip(*edges, strict=True)
    return (
        np.concatenate(all_workers),
        np.concatenate(all_partitions),
        np.concatenate(all_alphas),
    )
