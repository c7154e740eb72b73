"""How to cut the data, and how much of it a worker gets within its capacity [ours].

For aligned gradients neither the number of partitions n nor the layers r of an interval
code matter; for gradients that differ, worker i's share of the error is the smaller the
more of the data it holds. So a capacity is used up: for each n as many layers as fit,
and the n that comes off best. Where even one layer does not fit, as the most reliable
workers would hold too much, what they cannot hold goes to the next, by the least error
that the capacity leaves.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks, residual
from jgc._plan import CodingPlan
from jgc.codes import interval
from jgc.codes._optimal_structure import inverse_odds_shares, plan_from_alpha


class Option(NamedTuple):
    """One way to cut the data, with as many layers as the capacity allows.

    Attributes:
        plan: an interval code.
        layers: r.
        worst_share: the largest share of the data on one worker, max_i b_i/n.
        aligned: E‖g − ĝ‖²/‖g‖² for equal partition gradients.
        orthogonal: the same for orthogonal partition gradients of equal norm.
        limited: whether the capacity moved data away from the most reliable workers, so
            that `aligned` is above 1/D.
    """

    plan: CodingPlan
    layers: int
    worst_share: float
    aligned: float
    orthogonal: float
    limited: bool

    def error(self, common_part: float) -> float:
        """E‖g − ĝ‖²/‖g‖² if such a part of ‖g‖² is common to all partitions."""
        return common_part * self.aligned + (1 - common_part) * self.orthogonal


class Advice(NamedTuple):
    """What fits, and which of it to use.

    Attributes:
        options: one for each number of partitions that fits, in the order asked.
        chosen: of least expected error.
    """

    options: tuple[Option, ...]
    chosen: Option


def advise(
    p: ArrayLike,
    *,
    capacity: float,
    num_partitions: Sequence[int] | None = None,
    common_part: float = 0.5,
) -> Advice:
    """The interval code of least error among those that fit every worker.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1.
        capacity: in (0, 1], the largest share of the data that a worker may hold, and
            compute on each iteration. If p comes from a trace, no more than workers
            had when it was recorded: with more they would be slower.
        num_partitions: the n to compare; by default k, 2k, 4k and 8k. More partitions
            fit the capacity more closely, at more bookkeeping.
        common_part: c in [0, 1], the part of ‖g‖² that comes from what all partitions'
            gradients have in common: the error is c·aligned + (1 − c)·orthogonal.

    Raises:
        ValueError: an argument out of its range, or a capacity into which the data
            does not fit whatever n of those asked is taken.
    """
    p = _checks.probabilities(p)
    capacity = _checks.scalar("capacity", capacity, 0, 1)
    common = _checks.scalar("common_part", common_part, 0, 1)
    if num_partitions is None or len(num_partitions) == 0:
        num_partitions = [p.size * factor for factor in (1, 2, 4, 8)]
    sizes = [_checks.count("num_partitions", n) for n in num_partitions]
    options = [option for n in sizes if (option := _fill(p, n, capacity))]
    if not options:
        able = int((p < 1).sum())
        raise ValueError(
            f"capacity = {capacity:g} of the data a worker is too little: the {able} "
            f"that can answer need more than 1/{able} = {1 / able:.4g} each, in whole "
            f"partitions of n in {sizes}; allow more capacity or more partitions"
        )
    chosen = min(options, key=lambda option: option.error(common))
    return Advice(tuple(options), chosen)


def _fill(p: Float[np.ndarray, " k"], n: int, capacity: float) -> Option | None:
    """The interval code on n partitions with the most layers; None if none fits."""
    # Rounding must not take a partition away: 0.3 · 10 is 3.
    most = int(np.floor(capacity * n * (1 + 1e-12)))
    shares = None
    worst = interval(p, num_partitions=n).batch_sizes.max()
    if worst > most:
        # An interval of length y touches at most ⌈y⌉ + 1 partitions.
        shares = capped_shares(p, (most - 1) / n)
        if shares is None:
            return None
        worst = _with_shares(p, shares, n, 1).batch_sizes.max()
    # Each layer adds one partition to a worker, until it holds all.
    layers = n if most >= n else int(most - worst + 1)
    if shares is None:
        plan = interval(p, num_partitions=n, layers=layers)
    else:
        plan = _with_shares(p, shares, n, layers)
    errors = residual.bounds(plan)
    return Option(
        plan=plan,
        layers=layers,
        worst_share=float(plan.batch_sizes.max() / n),
        aligned=errors.aligned / n**2,
        orthogonal=errors.orthogonal / n,
        limited=shares is not None,
    )


def capped_shares(
    p: Float[np.ndarray, " k"], most: float
) -> Float[np.ndarray, " k"] | None:
    """Shares s that minimise Σ_i δ_i s_i² under Σ_i s_i = 1 and s_i ≤ most.

    They are min(most, λ/δ_i): what is cut off goes to the others in proportion to
    1/δ_i. None if the workers that can answer hold less than all the data.
    """
    able = np.flatnonzero(p < 1)
    if most * able.size < 1 - 1e-12:
        return None
    shares = np.zeros(p.size)
    free = able
    while free.size:
        left = 1 - most * (able.size - free.size)
        shares[free] = left * inverse_odds_shares(p[free])
        over = shares[free] > most
        if not over.any():
            break
        shares[free[over]] = most
        free = free[~over]
    return shares


def _with_shares(
    p: Float[np.ndarray, " k"], shares: Float[np.ndarray, " k"], n: int, layers: int
) -> CodingPlan:
    """The interval code whose α of worker i sum to n·s_i, unbiased under p."""
    # Inverse odds s_i have the shares s_i, and the α do not depend on p otherwise.
    layout = interval(1 / (1 + shares), num_partitions=n, layers=layers)
    return plan_from_alpha(
        p,
        np.asarray(layout.edge_worker),
        np.asarray(layout.edge_partition),
        layout.edge_alpha(),
        num_partitions=n,
        name=layout.name,
    )
