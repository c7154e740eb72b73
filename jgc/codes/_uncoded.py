"""Codes without redundancy: ignoring stragglers, and having none."""

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan


def uncoded(p: ArrayLike, *, num_partitions: int) -> CodingPlan:
    """IS-SGD, "ignore stragglers": disjoint partitions, load 1, all weights 1.

    ĝ is the sum of the gradients that arrived: biased towards the data of reliable
    workers, and short by a factor 1 − p.

    Args:
        p: straggler probabilities (k,), each in [0, 1]; any order.
        num_partitions: n ≥ 1. Worker i holds a run of n/k partitions, rounded down or
            up; with n < k some hold none.

    Raises:
        ValueError: an argument out of its range.
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k = p.size
    return CodingPlan.from_edges(
        np.arange(n) * k // n,
        np.arange(n),
        np.ones(n),
        p=p,
        weights=np.ones(k),
        num_partitions=n,
        name="uncoded",
    )


def straggler_free(num_workers: int, *, num_partitions: int) -> CodingPlan:
    """Gradient descent over k workers that always answer: the reference of all codes.

    Args:
        num_workers: k ≥ 1.
        num_partitions: n ≥ 1.

    Raises:
        ValueError: an argument out of its range.
    """
    k = _checks.count("num_workers", num_workers)
    plan = uncoded(np.zeros(k), num_partitions=num_partitions)
    return replace(plan, name="straggler_free")
