"""Sharper than the paper's theorems, or beside them: each under a name of its own."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.theory import _arguments
from jgc.theory._theorems import theorem_2


def strongly_convex_gap(
    iterates: ArrayLike,
    *,
    squared_gradient: float,
    strong_convexity: float,
    smoothness: float,
) -> Float[np.ndarray, " T"]:
    """E[L(β_t) − L*] ≤ 2μB/(λ² t) with γ_t = 1/(λt), L μ-smooth, λ-strongly convex.

    `theorem_2` times μ/2, as L(β) − L* ≤ μ/2 ‖β − β*‖² (Rakhlin, Shamir, Sridharan
    2012, Theorem 1). Iterations to a given gap are proportional to 1 + 1/D.

    Args:
        iterates: t ≥ 1, where β_1 is the start (T,).
        squared_gradient: B of `squared_gradient_bound`.
        strong_convexity: λ > 0.
        smoothness: μ ≥ λ.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> options = {"strong_convexity": 0.5, "smoothness": 1.0}
        >>> strongly_convex_gap([1, 100], squared_gradient=1.0, **options).tolist()
        [8.0, 0.08]
    """
    distance = theorem_2(
        iterates, squared_gradient=squared_gradient, strong_convexity=strong_convexity
    )
    return _arguments.smoothness(smoothness, strong_convexity) / 2 * distance


def strongly_convex_distance(
    step_sizes: ArrayLike,
    *,
    squared_gradient: float,
    strong_convexity: float,
    initial_distance: float,
) -> Float[np.ndarray, " iterates"]:
    """`theorem_4` sharpened: E‖β_t − β*‖² for any steps, L λ-strongly convex [ours].

        r_{t+1} = max(0, 1 − 2γ_tλ) r_t + γ_t² B,

    twice the paper's contraction: (88) drops −2γ_t (L(β_t) − L*) of (86), which is at
    most −γ_tλ ‖β_t − β*‖². A constant γ ≤ 1/(2λ) ends at γB/(2λ), half of (94). Times
    μ/2 it bounds E[L(β_t) − L*].

    Args:
        step_sizes: γ_0 … γ_{T−1} > 0 (T,).
        squared_gradient: B of `squared_gradient_bound`.
        strong_convexity: λ > 0.
        initial_distance: ‖β_0 − β*‖², squared, ≥ 0.

    Returns:
        The bounds at β_0 … β_T (T+1,), `initial_distance` first.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> options = {"strong_convexity": 0.5, "initial_distance": 1.0}
        >>> strongly_convex_distance([0.5], squared_gradient=3.0, **options).tolist()
        [1.0, 1.25]
    """
    steps = _arguments.steps(step_sizes)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    lam = _arguments.positive("strong_convexity", strong_convexity)
    start = _checks.scalar("initial_distance", initial_distance, low=0)
    return _arguments.recursion(start, np.maximum(0, 1 - 2 * steps * lam), steps**2 * b)


def convex_gap(
    step_sizes: ArrayLike, *, squared_gradient: float, initial_distance: float
) -> Float[np.ndarray, " T"]:
    """The averaged iterate's E[L(β̄_T) − L*], L convex, for each T; not in the paper.

        β̄_T = Σ_t γ_t β_t / Σ_t γ_t,   E[L(β̄_T) − L*] ≤ (R² + B Σ_t γ_t²)/(2 Σ_t γ_t).

    Nemirovski, Juditsky, Lan, Shapiro, "Robust stochastic approximation approach to
    stochastic programming", SIAM J. Optim. 2009, (2.18). Sum
    2γ_t E[L(β_t) − L*] ≤ r_t − r_{t+1} + γ_t² B over t, and L(β̄) is at most the mean of
    L(β_t). The constant step R/√(BT) gives R√(B/T). No smoothness is needed.

    Args:
        step_sizes: γ_1 … γ_T > 0.
        squared_gradient: B of `squared_gradient_bound`.
        initial_distance: R² ≥ ‖β_1 − β*‖², squared.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> convex_gap([0.5, 0.5], squared_gradient=1.0, initial_distance=1.0).tolist()
        [1.25, 0.75]
    """
    steps = _arguments.steps(step_sizes)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    start = _checks.scalar("initial_distance", initial_distance, low=0)
    return (start + b * np.cumsum(steps**2)) / (2 * np.cumsum(steps))


def non_convex_gradient(
    step_sizes: ArrayLike,
    *,
    squared_gradient: float,
    smoothness: float,
    initial_gap: float,
) -> Float[np.ndarray, " T"]:
    """The mean of E‖∇L(β_t)‖² weighted by γ_t, (75), for any steps; L μ-smooth.

        Σ_t γ_t E‖∇L(β_t)‖² / Σ_t γ_t ≤ (L(β_0) − L_inf + μB/2 Σ_t γ_t²) / Σ_t γ_t.

    Theorem 3 follows from it for two choices of steps: (31) with equality, (33) by
    further bounds. The least E‖∇L(β_t)‖² is no greater. Ghadimi, Lan, "Stochastic
    first- and zeroth-order methods for nonconvex stochastic programming", SIAM J.
    Optim. 2013, with B in place of a variance. Without projection.

    Args:
        step_sizes: γ_0 … γ_T > 0.
        squared_gradient: B of `squared_gradient_bound`.
        smoothness: μ > 0.
        initial_gap: L(β_0) − L_inf, for any lower bound L_inf of L.

    Returns:
        The bound for the mean up to each iterate (T+1,).

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> options = {"smoothness": 2.0, "initial_gap": 1.0}
        >>> non_convex_gradient([0.5, 0.5], squared_gradient=1.0, **options).tolist()
        [2.5, 1.5]
    """
    steps = _arguments.steps(step_sizes)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    start = _checks.scalar("initial_gap", initial_gap, low=0)
    noise = _arguments.positive("smoothness", smoothness) * b / 2 * np.cumsum(steps**2)
    return (start + noise) / np.cumsum(steps)
