"""Lemmas 1 and 2: how far and how long a decoded gradient can be."""

import numpy as np

from jgc import _checks, residual
from jgc._plan import CodingPlan

# E[c_j] − 1 of an unbiased plan, but for rounding.
_ROUNDING = 1e-6


def residual_error_bound(plan: CodingPlan, *, squared_norm: float) -> float:
    """Lemma 1: E‖g − ĝ‖² ≤ C n²/D, for all gradients with ‖g_j‖² ≤ C.

    In general C Σ_i δ_i (Σ_j |α_i^j|)² [ours], which is C n²/D for codes of optimal
    structure exactly when α ≥ 0 and holds when some α are negative as well; for a
    biased plan it includes the bias.

    Args:
        plan: the code, on the host.
        squared_norm: C ≥ 0 of Assumption 1.
    """
    c = _checks.scalar("squared_norm", squared_norm, low=0)
    return c * residual.bounds(plan).certified


def squared_gradient_bound(
    plan: CodingPlan, *, squared_norm: float, noise_variance: float = 0.0
) -> float:
    """Lemma 2: B with E‖ĝ‖² ≤ B; C n² (1 + 1/D) for codes of optimal structure, α ≥ 0.

    For an unbiased ĝ it is ‖g‖² + E‖g − ĝ‖²; ‖g‖² ≤ C n², and Lemma 1 bounds the rest.
    Gradients of mini-batches (C.4.1), each with an independent error of variance at
    most σ², add σ² Σ_j E[c_j²] = σ² (n + Σ_i δ_i Σ_j (α_i^j)²) ≤ n σ² (1 + n/D).

    Args:
        plan: an unbiased code, on the host.
        squared_norm: C ≥ 0 of Assumption 1.
        noise_variance: σ² ≥ 0, of each partition's gradient; 0 for full batches.

    Raises:
        ValueError: the plan is biased: the theorems do not speak of it.
    """
    largest = float(np.abs(residual.bias(plan)).max())
    if largest > _ROUNDING:
        raise ValueError(
            f"plan must be unbiased, got {plan.name} with E[c_j] up to {largest:.3g} "
            "away from 1"
        )
    noise = _checks.scalar("noise_variance", noise_variance, low=0)
    n = plan.num_partitions
    full = squared_norm * n**2 + residual_error_bound(plan, squared_norm=squared_norm)
    return full + noise * (n + residual.bounds(plan).orthogonal)
