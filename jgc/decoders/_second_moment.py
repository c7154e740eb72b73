"""Weights of the second moment: the other track of two-track decoding (42)–(43)."""

import numpy as np
from jaxtyping import Float

from jgc import _checks
from jgc._plan import CodingPlan

# Relative to Σ_j |a_ij|: a row sum below this is 0 but for rounding.
_ROUNDING = 1e-12


def second_moment_weights(
    plan: CodingPlan, *, noise_ratio: float
) -> Float[np.ndarray, " k"]:
    """v_i = nΛ / (p_i s_i (1 + ΛD)) (42)–(43), with s_i = Σ_j a_ij.

    Decode with v in place of w to estimate the gradient that Adam squares. For codes
    of optimal structure (Schemes I and II, interval, dense) v = w·ΛD/(1 + ΛD) [ours]:
    one scalar. In the limits, with q_i = 1 − p_i,

    - workers with p_i → 0 take all of D and share it equally, v_i = n/(m s_i) for each
      of the m workers with p_i = 0, and the others get 0;
    - p_i = 1 is no limit: v_i = nΛ/(s_i (1 + ΛD)), the weight of a message that
      never comes;
    - s_i = 0 (no data, or a message that is 0 for aligned gradients) gets 0: it says
      nothing about their common value;
    - Λ = ∞ gives v_i = n/(p_i s_i D).

    Args:
        plan: the code, on the host.
        noise_ratio: Λ ≥ 0, may be infinite; how much the gradient outweighs its noise.

    Raises:
        ValueError: a negative or NaN Λ.
    """
    if np.ndim(noise_ratio) != 0 or not noise_ratio >= 0:
        raise ValueError(
            f"noise_ratio must be a number ≥ 0, infinity included, got {noise_ratio!r}"
        )
    p = _checks.probabilities(plan.straggler_probabilities, some_answer=False)
    k, n = plan.num_workers, plan.num_partitions
    worker = np.asarray(plan.edge_worker)
    a = np.asarray(plan.edge_coefficient, np.float64)
    s = np.bincount(worker, weights=a, minlength=k)
    size = np.bincount(worker, weights=np.abs(a), minlength=k)
    has_sum = np.abs(s) > _ROUNDING * size
    # Everything is scaled by the least p, so that 10^-300 does not overflow:
    # Λ/(p_i (1 + ΛD)) = (p_min/p_i) / (p_min/Λ + p_min D).
    smallest = p.min()
    if smallest == 0:
        ratio = (p == 0).astype(np.float64)
        scaled_total = ratio.sum()
        scaled_inverse = 0.0 if noise_ratio > 0 else np.inf
    else:
        ratio = smallest / p
        scaled_total = ((1 - p) * ratio).sum()
        with np.errstate(divide="ignore", over="ignore"):
            scaled_inverse = float(np.divide(smallest, noise_ratio))
    total = scaled_inverse + scaled_total
    if total == 0:  # Λ = ∞ and nobody ever answers
        return np.zeros(k)
    return np.divide(n * ratio / total, s, out=np.zeros(k), where=has_sum)
