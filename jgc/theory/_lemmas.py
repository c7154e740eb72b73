"""Lemmas 1 and 2: how far and how long a decoded gradient can be."""

from typing import NamedTuple

import numpy as np

from jgc import _checks, residual
from jgc._plan import CodingPlan
from jgc.codes._optimal_structure import least_aligned_error, row_sums

# E[c_j] − 1 of an unbiased plan, but for rounding.
_ROUNDING = 1e-6


def lemma_1(plan: CodingPlan, *, squared_norm: float) -> float:
    """Lemma 1 (10): E‖g − ĝ‖² ≤ C Σ_i p_i(1 − p_i) w_i² (Σ_j a_ij)², ĝ unbiased.

    It is the error for equal gradients of norm √C. As a bound for all gradients with
    ‖g_j‖² ≤ C it holds where every α_i^j ≥ 0; where some are negative it may not
    [ours]: step (a) of (46) multiplies ⟨g_j, g_l⟩ ≤ C by Σ_i δ_i α_i^j α_i^l, as if
    that were never negative. `residual_error_bound` holds for all α, and is the same
    for α ≥ 0.

    Args:
        plan: an unbiased code, on the host.
        squared_norm: C ≥ 0 of Assumption 1.

    Raises:
        ValueError: the plan is biased, or C is out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.5, 0.5], num_partitions=4)  # D = 2
        >>> round(lemma_1(plan, squared_norm=1.0), 6)  # n²/D
        8.0
    """
    c = _checks.scalar("squared_norm", squared_norm, low=0)
    _refuse_bias(plan)
    return c * residual.bounds(plan).aligned


class Lemma2(NamedTuple):
    """What Lemma 2 says of a code of optimal structure.

    Attributes:
        residual_error: (19), the bound of E‖g − ĝ‖².
        squared_gradient: (20), the bound B of E‖ĝ‖².
    """

    residual_error: float
    squared_gradient: float


def lemma_2(
    plan: CodingPlan, *, squared_norm: float, noise_variance: float = 0.0
) -> Lemma2:
    """Lemma 2: E‖g − ĝ‖² ≤ n²C/D (19) and E‖ĝ‖² ≤ n²C (1 + 1/D) (20).

    For codes of the optimal structure (18), and sure where every α ≥ 0, as in
    `lemma_1`. Mini-batches (C.4.1), which give each partition's gradient an independent
    error of variance at most σ², add nσ²(1 + n/D) to both.

    Args:
        plan: a code of optimal structure, on the host.
        squared_norm: C ≥ 0 of Assumption 1.
        noise_variance: σ² ≥ 0; 0 for full batches.

    Raises:
        ValueError: the plan is not of optimal structure: Σ_j α_i^j ≠ Y_i for some
            worker, or Σ_i α_i^j ≠ 1 for some partition.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.5, 0.5], num_partitions=4)  # D = 2
        >>> bound = lemma_2(plan, squared_norm=1.0)
        >>> round(bound.residual_error, 6), round(bound.squared_gradient, 6)
        (8.0, 24.0)
    """
    c = _checks.scalar("squared_norm", squared_norm, low=0)
    noise = _checks.scalar("noise_variance", noise_variance, low=0)
    _refuse_bias(plan)
    p = np.asarray(plan.straggler_probabilities, np.float64)
    n = plan.num_partitions
    alpha = np.asarray(plan.edge_coefficient, np.float64) * (
        (1 - p) * np.asarray(plan.weights, np.float64)
    ).take(plan.edge_worker)
    found = np.bincount(plan.edge_worker, weights=alpha, minlength=p.size)
    difference = np.abs(found - row_sums(p, n))
    if difference.max() > _ROUNDING * n:
        at = int(difference.argmax())
        raise ValueError(
            f"plan must be of optimal structure, Σ_j α_i^j = Y_i (18); in {plan.name} "
            f"worker {at} has {found[at]:.6g} instead of {row_sums(p, n)[at]:.6g}. "
            "residual_error_bound and squared_gradient_bound take any unbiased plan"
        )
    over_d = least_aligned_error(p, n)  # n²/D
    from_batches = noise * (n + over_d)
    error = c * over_d + from_batches
    return Lemma2(error, c * n**2 + error)


def residual_error_bound(plan: CodingPlan, *, squared_norm: float) -> float:
    """E‖g − ĝ‖² ≤ C Σ_i δ_i (Σ_j |α_i^j|)², for all gradients with ‖g_j‖² ≤ C [ours].

    Lemma 1 made to hold for negative α as well: `lemma_1`, and for codes of optimal
    structure C n²/D (19), exactly when α ≥ 0. For a biased plan it includes the bias.

    Args:
        plan: the code, on the host.
        squared_norm: C ≥ 0 of Assumption 1.

    Raises:
        ValueError: C is out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.5, 0.5], num_partitions=4)  # D = 2
        >>> round(residual_error_bound(plan, squared_norm=1.0), 6)
        8.0
    """
    c = _checks.scalar("squared_norm", squared_norm, low=0)
    return c * residual.bounds(plan).certified


def squared_gradient_bound(
    plan: CodingPlan, *, squared_norm: float, noise_variance: float = 0.0
) -> float:
    """B with E‖ĝ‖² ≤ B for any unbiased plan [ours]; (20) where that holds.

    For an unbiased ĝ it is ‖g‖² + E‖g − ĝ‖²; ‖g‖² ≤ C n², and `residual_error_bound`
    bounds the rest. Gradients of mini-batches (C.4.1), each with an independent error
    of variance at most σ², add σ² Σ_j E[c_j²] = σ² (n + Σ_i δ_i Σ_j (α_i^j)²), at most
    the paper's n σ² (1 + n/D) for codes of optimal structure with α ≥ 0.

    Args:
        plan: an unbiased code, on the host.
        squared_norm: C ≥ 0 of Assumption 1.
        noise_variance: σ² ≥ 0, of each partition's gradient; 0 for full batches.

    Raises:
        ValueError: the plan is biased: the theorems do not speak of it.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.5, 0.5], num_partitions=4)  # D = 2
        >>> round(squared_gradient_bound(plan, squared_norm=1.0), 6)  # n² (1 + 1/D)
        24.0
    """
    _refuse_bias(plan)
    noise = _checks.scalar("noise_variance", noise_variance, low=0)
    n = plan.num_partitions
    full = squared_norm * n**2 + residual_error_bound(plan, squared_norm=squared_norm)
    return full + noise * (n + residual.bounds(plan).orthogonal)


def _refuse_bias(plan: CodingPlan) -> None:
    largest = float(np.abs(residual.bias(plan)).max())
    if largest > _ROUNDING:
        raise ValueError(
            f"plan must be unbiased, got {plan.name} with E[c_j] up to {largest:.3g} "
            "away from 1"
        )
