"""Theorems 2, 3 and 4 as the paper states them, each a function of B.

B is `lemma_2(plan, …).squared_gradient`, n²C(1 + 1/D), for a code of optimal structure;
the proofs use E[ĝ] = g and E‖ĝ‖² ≤ B alone, so that `squared_gradient_bound` of any
unbiased plan serves as well.

Assumptions 1 (‖g_j‖² ≤ C) and 2 (λ-strong convexity) exclude each other on all of ℝ^l,
where a strongly convex loss has gradients of any size. They are meant on a convex set
that holds β* and that iterates are projected onto, which takes them no further from
β*: Theorems 2 and 4 stand [ours]. Theorem 3 is without projection.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.theory import _arguments


def theorem_2(
    iterates: ArrayLike, *, squared_gradient: float, strong_convexity: float
) -> Float[np.ndarray, " T"]:
    """Theorem 2 (30): E‖β_T − β*‖² ≤ 4B/(λ²T) with γ_t = 1/(λt), L λ-strongly convex.

    Rakhlin, Shamir, Sridharan, "Making gradient descent optimal for strongly convex
    stochastic optimization", ICML 2012, Lemma 1 (the paper's (66) has λ for its λ²).
    With r_t = E‖β_t − β*‖², strong convexity gives r_{t+1} ≤ (1 − 2/t) r_t + B/(λt)²;
    r_1 ≤ B/λ² since λ‖β − β*‖ ≤ ‖∇L(β)‖ ≤ √B, and induction does the rest.

    Args:
        iterates: T ≥ 1, where β_1 is the start (T,).
        squared_gradient: B ≥ 0.
        strong_convexity: λ > 0.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> theorem_2([1, 100], squared_gradient=1.0, strong_convexity=0.5).tolist()
        [16.0, 0.16]
    """
    t = _arguments.iterates(iterates)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    return 4 * b / (_arguments.positive("strong_convexity", strong_convexity) ** 2 * t)


def theorem_3_constant_steps(
    horizons: ArrayLike,
    *,
    squared_gradient: float,
    smoothness: float,
    initial_gap: float,
) -> Float[np.ndarray, " T"]:
    """Theorem 3 (31): γ_t = γ = 1/(T+1)^{1/2}, another γ for each T, L μ-smooth.

        Σ_{t=0}^T E‖g^(t)‖²/(T+1) ≤ [L(β_0) − L(β*) + μB/2]/(T+1)^{1/2} → 0 (32).

    `non_convex_gradient` has it for all steps, and the same value for these.

    Args:
        horizons: T ≥ 0, the last of the iterates β_0 … β_T.
        squared_gradient: B ≥ 0.
        smoothness: μ > 0.
        initial_gap: L(β_0) − L(β*) ≥ 0; any lower bound of L will do for L(β*).

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> options = {"smoothness": 2.0, "initial_gap": 1.0}
        >>> theorem_3_constant_steps([0, 99], squared_gradient=3.0, **options).tolist()
        [4.0, 0.4]
    """
    root = np.sqrt(_arguments.horizons(horizons) + 1)
    gap, noise = _gap_and_noise(squared_gradient, smoothness, initial_gap)
    return (gap + noise / 2) / root


def theorem_3_falling_steps(
    horizons: ArrayLike,
    *,
    squared_gradient: float,
    smoothness: float,
    initial_gap: float,
) -> Float[np.ndarray, " T"]:
    """Theorem 3 (33): γ_t = 1/(t+1)^{1/2}, the same for every T, L μ-smooth.

        Σ_{t=0}^T E‖g^(t)‖²/(T+1)
            ≤ [L(β_0) − L(β*) + μB(1 + log (T+1)^{1/2})]/(T+1)^{1/2} → 0 (34).

    The paper writes log(T+1)^{1/2}, which is the logarithm of the root: (80) has it
    from μB/2 Σ_t 1/(t+1) ≤ μB/2 (2 + log(T+1)).

    Args:
        horizons: T ≥ 0, the last of the iterates β_0 … β_T.
        squared_gradient: B ≥ 0.
        smoothness: μ > 0.
        initial_gap: L(β_0) − L(β*) ≥ 0; any lower bound of L will do for L(β*).

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> options = {"smoothness": 2.0, "initial_gap": 1.0}
        >>> theorem_3_falling_steps([0], squared_gradient=3.0, **options).tolist()
        [7.0]
    """
    count = _arguments.horizons(horizons) + 1
    gap, noise = _gap_and_noise(squared_gradient, smoothness, initial_gap)
    return (gap + noise * (1 + np.log(np.sqrt(count)))) / np.sqrt(count)


def theorem_4(
    step_sizes: ArrayLike,
    *,
    squared_gradient: float,
    strong_convexity: float,
    initial_distance: float,
) -> Float[np.ndarray, " iterates"]:
    """Theorem 4 (35): E‖β_{t+1} − β*‖² for any steps γ_t ≤ 1/λ, L λ-strongly convex.

        ‖β_0 − β*‖² Π_{p=0}^t (1 − γ_p λ) + B Σ_{p=0}^t γ_p² Π_{q=p+1}^t (1 − γ_q λ),

    which is r_{t+1} = (1 − γ_t λ) r_t + γ_t² B (92). Unrolling it multiplies bounds by
    1 − γ_t λ, which must not be negative: the paper states no limit on γ_t in (35).
    It assumes μ-smoothness too, which its proof drops between (87) and (88). Constant
    steps: `theorem_4_limit`. With γ_t = 1/(λt) from t = 1 on, (35) is BH_t/(λ²t),
    H_t = 1 + 1/2 + … + 1/t: its limit is 0 (37), at the rate log(t)/t, not the 1/t of
    (97) [ours]; `theorem_2` has that rate. Strong convexity used on both sides has
    1 − 2γ_t λ instead: `strongly_convex_distance`.

    Args:
        step_sizes: γ_0 … γ_{T−1}, above 0 and at most 1/λ (T,).
        squared_gradient: B ≥ 0.
        strong_convexity: λ > 0.
        initial_distance: ‖β_0 − β*‖², squared, ≥ 0.

    Returns:
        The bounds at β_0 … β_T (T+1,), `initial_distance` first.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> options = {"strong_convexity": 0.5, "initial_distance": 1.0}
        >>> theorem_4([1.0, 2.0], squared_gradient=3.0, **options).tolist()
        [1.0, 3.5, 12.0]
    """
    steps = _arguments.steps(step_sizes)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    lam = _arguments.positive("strong_convexity", strong_convexity)
    start = _checks.scalar("initial_distance", initial_distance, low=0)
    if (steps > (1 + 1e-12) / lam).any():
        raise ValueError(
            f"step_sizes must be at most 1/strong_convexity = {1 / lam:g} for (35), "
            f"got {steps.max():g}"
        )
    return _arguments.recursion(start, np.maximum(0, 1 - steps * lam), steps**2 * b)


def theorem_4_limit(
    step_size: float, *, squared_gradient: float, strong_convexity: float
) -> float:
    """Theorem 4 (36): lim E‖β_t − β*‖² < B/λ² for a constant γ < 1/λ.

    It follows for these γ only: (35) tends to γB/λ (94), which is less than B/λ²
    because γλ < 1. Sharper [ours], by `strongly_convex_distance`: γB/(2λ) where
    γ ≤ 1/(2λ).

    Args:
        step_size: γ, above 0 and below 1/λ.
        squared_gradient: B ≥ 0.
        strong_convexity: λ > 0.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> theorem_4_limit(0.1, squared_gradient=3.0, strong_convexity=0.5)
        12.0
    """
    step = _arguments.positive("step_size", step_size)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    lam = _arguments.positive("strong_convexity", strong_convexity)
    if step >= 1 / lam:
        raise ValueError(
            f"step_size must be below 1/strong_convexity = {1 / lam:g} for (36), got "
            f"{step_size!r}"
        )
    return b / lam**2


def _gap_and_noise(
    squared_gradient: float, smoothness: float, initial_gap: float
) -> tuple[float, float]:
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    gap = _checks.scalar("initial_gap", initial_gap, low=0)
    return gap, _arguments.positive("smoothness", smoothness) * b
