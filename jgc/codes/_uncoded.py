"""Codes without redundancy: ignoring stragglers, and having none."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan


def uncoded(p: ArrayLike, *, num_partitions: int, unbiased: bool = False) -> CodingPlan:
    """Disjoint partitions, load 1: what training without a code does.

    With weights 1 it is IS-SGD, "ignore stragglers" as the paper compares it: ĝ is the
    sum of the gradients that arrived, biased towards the data of reliable workers, and
    short by a factor 1 − p. Decoded by `decoders.normalised` it is the mean over who
    answered, as practice has it; with `unbiased` each gradient counts for those of its
    worker that came late.

    Args:
        p: straggler probabilities (k,), each in [0, 1]; any order.
        num_partitions: n ≥ 1. Worker i holds a run of n/k partitions, rounded down or
            up; with n < k some hold none.
        unbiased: weights 1/(1 − p_i) in place of 1.

    Raises:
        ValueError: an argument out of its range; `unbiased` where a worker that never
            answers holds data.

    Example:
        >>> uncoded([0.5, 0.2], num_partitions=2, unbiased=True).weights.tolist()
        [2.0, 1.25]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k = p.size
    worker = np.arange(n) * k // n
    if unbiased and (p[worker] == 1).any():
        at = int(worker[p[worker] == 1][0])
        raise ValueError(
            "unbiased weights need p below 1 of every worker with data, got "
            f"p[{at}] = 1"
        )
    return CodingPlan.from_edges(
        worker,
        np.arange(n),
        np.ones(n),
        p=p,
        weights=None if unbiased else np.ones(k),
        num_partitions=n,
        name="uncoded, unbiased" if unbiased else "uncoded",
    )


def straggler_free(num_workers: int, *, num_partitions: int) -> CodingPlan:
    """Gradient descent over k workers that always answer: the reference of all codes.

    Args:
        num_workers: k ≥ 1.
        num_partitions: n ≥ 1.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = straggler_free(2, num_partitions=4)
        >>> plan.encoding_matrix().tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
        >>> plan.straggler_probabilities.tolist()
        [0.0, 0.0]
    """
    k = _checks.count("num_workers", num_workers)
    plan = uncoded(np.zeros(k), num_partitions=num_partitions)
    return replace(plan, name="straggler_free")
