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
    """v_i = nΛ / (p_i s_i (1 + ΛD_s)) (42)–(43), with s_i = Σ_j a_ij.

    Decode with v in place of w to estimate the gradient that Adam squares. (42) is a
    problem in the products v_i s_i alone, so that a worker with s_i = 0 is no part of
    it: D_s = Σ (1 − p_i)/p_i goes over the workers with s_i ≠ 0 [ours; (43) as printed
    divides by every s_i]. It is the paper's D where all workers have a sum, as in codes
    of optimal structure (Schemes I and II, interval, dense), for which
    v = w·ΛD/(1 + ΛD) [ours]: one scalar. In the limits,

    - workers with p_i → 0 take all of D_s and share it equally, v_i = n/(m s_i) for
      each of the m workers with p_i = 0 and s_i ≠ 0, and the others get 0;
    - p_i = 1 is no limit: v_i = nΛ/(s_i (1 + ΛD_s)), the weight of a message that
      never comes;
    - s_i = 0 leaves v_i free. It is w_i·ΛD_s/(1 + ΛD_s) [ours], and w_i where D_s = 0:
      in proportion to the first track, so that no message can move the first moment
      and leave the second at 0, which Adam would divide by. Without data it is 0;
    - Λ = ∞ gives v_i = n/(p_i s_i D_s).

    Args:
        plan: the code, on the host.
        noise_ratio: Λ ≥ 0, may be infinite; how much the gradient outweighs its noise.

    Raises:
        ValueError: a negative or NaN Λ.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.3, 0.0], num_partitions=1)  # the second is idle
        >>> jgc.decoders.second_moment_weights(plan, noise_ratio=1.0).tolist()
        [1.0, 0.0]
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
    smallest = p[has_sum].min(initial=1.0)
    ratio = np.divide(smallest, p, out=np.ones(k), where=p > smallest) * has_sum
    scaled_total = ((1 - p) * ratio).sum()
    with np.errstate(over="ignore"):
        scaled_inverse = np.inf if noise_ratio == 0 else smallest / noise_ratio
    total = scaled_inverse + scaled_total
    # Without a sum: in proportion to w. κ = ΛD/(1 + ΛD); v = w where D = 0.
    shrinkage = scaled_total / total if scaled_total > 0 else 1.0
    v = np.where(size > 0, shrinkage * np.asarray(plan.weights, np.float64), 0.0)
    if total == 0:  # Λ = ∞, and nobody with a sum ever answers
        return np.where(has_sum, 0.0, v)
    return np.divide(n * ratio / total, s, out=v, where=has_sum)
