"""What the optimal codes share: row sums Y (Theorem 1) and the split of α.

A code has the optimal structure when it is unbiased (the α of each partition sum
to 1) and the α of worker i sum to Y_i = (n/D)/δ_i, with δ_i = p_i/(1 − p_i) and
D = Σ_i 1/δ_i. It then has the least residual error n²/D for aligned gradients (15).
"""

import warnings

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan

# A worker's coefficients are divided by Y_i; beyond this ratio they would not be
# of gradient size any more, and near 1e38 they leave float32.
_LARGEST_COEFFICIENT = 1e6

# α below this is a cut that rounding moved across a partition's end, not a design.
_ROUNDING = 1e-9


class NegativeCoefficientWarning(UserWarning):
    """A plan has α < 0: gradients that point apart may exceed the bound n²/D."""


def inverse_odds_shares(
    p: Float[np.ndarray, " k"], group: Int[np.ndarray, " k"] | None = None
) -> Float[np.ndarray, " k"]:
    """1/(δ_i D): each worker's share of the total inverse odds; sums to 1.

    Workers with p_i = 0 share equally and leave nothing to the others; p_i = 1
    has share 0. Finite for every p in [0, 1] that is not all 1.

    Args:
        p: straggler probabilities.
        group: of each worker, if shares are to be of its group's total: integers ≥ 0.
            No group may have p all 1.
    """
    if group is None:
        group = np.zeros(p.size, np.int64)
    least = np.full(group.max() + 1, np.inf)
    np.minimum.at(least, group, p)
    smallest = least[group]
    # (1 − p_i)/p_i scaled by the least p, so that 10^-300 does not overflow.
    ratio = np.divide(smallest, p, out=np.ones(p.size), where=p > 0)
    shares = (1 - p) * ratio
    total = np.zeros(least.size, np.longdouble)
    np.add.at(total, group, shares)
    return shares / total.astype(np.float64)[group]


def row_sums(p: Float[np.ndarray, " k"], num_partitions: int) -> np.ndarray:
    """Y_i = (n/D)/δ_i (Theorem 1), the sum of worker i's α; sums to n."""
    return num_partitions * inverse_odds_shares(p)


def least_aligned_error(p: Float[np.ndarray, " k"], num_partitions: int) -> float:
    """n²/D, the bound of Lemma 1 for C = 1; 0 when some worker never straggles."""
    if (p == 0).any():
        return 0.0
    smallest = p.min()
    inverse_odds = ((1 - p) * (smallest / p)).sum()  # D · min p
    return float(num_partitions**2 * smallest / inverse_odds)


def plan_from_alpha(
    p: Float[np.ndarray, " k"],
    worker: Int[np.ndarray, " E"],
    partition: Int[np.ndarray, " E"],
    alpha: Float[np.ndarray, " E"],
    *,
    num_partitions: int,
    name: str,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """Splits α_i^j = w̃_i a_ij into a plan with w_i = w̃_i/(1 − p_i) (17).

    Args:
        p: straggler probabilities.
        worker: the worker of each edge, in any order.
        partition: the partition of each edge.
        alpha: α_i^j of each edge.
        num_partitions: n.
        name: of the code.
        expected_weights: w̃_i = (1 − p_i) w_i, positive; any choice gives the same
            decoded gradient. By default the sum Y_i of worker i's α, which makes its
            message a weighted mean of its gradients; a worker whose α sum to 0, or
            nearly, has the size of its largest α in its place.

    Raises:
        ValueError: `expected_weights` is not k positive numbers.
    """
    k = p.size
    if expected_weights is None:
        sums = np.bincount(worker, weights=alpha, minlength=k)
        largest = np.zeros(k)
        np.maximum.at(largest, worker, np.abs(alpha))
        is_mean = (sums > 0) & (largest <= _LARGEST_COEFFICIENT * sums)
        w_tilde = np.where(is_mean, sums, np.where(largest > 0, largest, 1.0))
    else:
        w_tilde = _checks.vector("expected_weights", expected_weights)
        if w_tilde.shape != (k,) or not (w_tilde > 0).all():
            raise ValueError(
                f"expected_weights must be {k} positive numbers, one a worker, "
                f"got {expected_weights!r}"
            )
    holds_data = np.bincount(worker, minlength=k) > 0
    with np.errstate(over="ignore"):
        coefficient = alpha / w_tilde[worker]
        weights = np.divide(w_tilde, 1 - p, out=np.zeros(k), where=holds_data)
    overflows = ~np.isfinite(weights)
    overflows[worker[~np.isfinite(coefficient)]] = True
    if overflows.any():
        at = int(np.argmax(overflows))
        raise ValueError(
            f"expected_weights must leave α/w̃ and w̃/(1 − p) finite, got "
            f"expected_weights[{at}] = {w_tilde[at]!r}"
        )
    return CodingPlan.from_edges(
        worker,
        partition,
        coefficient,
        p=p,
        weights=weights,
        num_partitions=num_partitions,
        name=name,
    )


def warn_if_negative(plan: CodingPlan) -> CodingPlan:
    """Warns when α < 0 lets some gradients exceed Lemma 1's bound [ours].

    The certified worst case over gradients of norm at most √C is
    C Σ_i δ_i (Σ_j |α_i^j|)²; it equals C n²/D exactly when every α ≥ 0.
    """
    alpha = plan.edge_alpha()
    if alpha.size and alpha.min() < -_ROUNDING:
        warnings.warn(
            # No figures, so that Python shows it once, whatever the number of plans.
            f"{plan.name} has negative coefficients here: gradients that point apart "
            "may exceed the bound n²/D of Lemma 1. jgc.residual.bounds(plan) certifies "
            "the worst case; jgc.codes.interval is never negative, at the same load.",
            NegativeCoefficientWarning,
            stacklevel=3,
        )
    return plan
