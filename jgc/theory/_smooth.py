"""Theorems 2, 3 and 4: strongly convex, convex and non-convex losses."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.theory import _arguments


def strongly_convex_distance(
    iterates: ArrayLike, *, squared_gradient: float, strong_convexity: float
) -> Float[np.ndarray, " T"]:
    """Theorem 2: E‖β_t − β*‖² ≤ 4B/(λ² t) with steps γ_t = 1/(λt), L λ-strongly convex.

    Rakhlin, Shamir, Sridharan, "Making gradient descent optimal for strongly convex
    stochastic optimization", ICML 2012, Lemma 1. With r_t = E‖β_t − β*‖², strong
    convexity gives r_{t+1} ≤ (1 − 2/t) r_t + B/(λt)²; r_1 ≤ B/λ² since
    λ‖β − β*‖ ≤ ‖∇L(β)‖ ≤ √B, and induction does the rest.

    Args:
        iterates: t ≥ 1, where β_1 is the start (T,).
        squared_gradient: B of `squared_gradient_bound`.
        strong_convexity: λ > 0.
    """
    t = _arguments.iterates(iterates)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    return 4 * b / (_arguments.positive("strong_convexity", strong_convexity) ** 2 * t)


def strongly_convex_gap(
    iterates: ArrayLike,
    *,
    squared_gradient: float,
    strong_convexity: float,
    smoothness: float,
) -> Float[np.ndarray, " T"]:
    """Theorem 2: E[L(β_t) − L*] ≤ 2μB/(λ² t), L μ-smooth and λ-strongly convex.

    Steps γ_t = 1/(λt). `strongly_convex_distance` times μ/2, as L(β) − L* ≤ μ/2
    ‖β − β*‖² (Rakhlin, Shamir, Sridharan 2012, Theorem 1). Iterations to a given gap
    are proportional to 1 + 1/D.

    Args:
        iterates: t ≥ 1, where β_1 is the start (T,).
        squared_gradient: B of `squared_gradient_bound`.
        strong_convexity: λ > 0.
        smoothness: μ ≥ λ.
    """
    distance = strongly_convex_distance(
        iterates, squared_gradient=squared_gradient, strong_convexity=strong_convexity
    )
    return _arguments.smoothness(smoothness, strong_convexity) / 2 * distance


def strongly_convex_gap_under_steps(
    step_sizes: ArrayLike,
    *,
    squared_gradient: float,
    strong_convexity: float,
    smoothness: float,
    initial_distance: float,
) -> Float[np.ndarray, " T+1"]:
    """Theorem 2 for any steps γ_t, constant ones included: E[L(β_t) − L*], t = 1 … T+1.

        r_{t+1} ≤ max(0, 1 − 2γ_tλ) r_t + γ_t² B,   E[L(β_t) − L*] ≤ μ/2 r_t.

    A constant γ ends at a floor of μγB/(4λ), the same multiple 1 + 1/D of gradient
    descent's.

    Args:
        step_sizes: γ_1 … γ_T > 0.
        squared_gradient: B of `squared_gradient_bound`.
        strong_convexity: λ > 0.
        smoothness: μ ≥ λ.
        initial_distance: r_1 ≥ ‖β_1 − β*‖², squared.
    """
    steps = _arguments.steps(step_sizes)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    contraction = np.maximum(
        0, 1 - 2 * steps * _arguments.positive("strong_convexity", strong_convexity)
    )
    distance = [_checks.scalar("initial_distance", initial_distance, low=0)]
    for step, factor in zip(steps, contraction, strict=True):
        distance.append(factor * distance[-1] + step**2 * b)
    return _arguments.smoothness(smoothness, strong_convexity) / 2 * np.array(distance)


def convex_gap(
    step_sizes: ArrayLike, *, squared_gradient: float, initial_distance: float
) -> Float[np.ndarray, " T"]:
    """Theorem 3: the averaged iterate's E[L(β̄_T) − L*], L convex, for each T.

        β̄_T = Σ_t γ_t β_t / Σ_t γ_t,   E[L(β̄_T) − L*] ≤ (R² + B Σ_t γ_t²)/(2 Σ_t γ_t).

    Nemirovski, Juditsky, Lan, Shapiro, "Robust stochastic approximation approach to
    stochastic programming", SIAM J. Optim. 2009, (2.18). Sum
    2γ_t E[L(β_t) − L*] ≤ r_t − r_{t+1} + γ_t² B over t, and L(β̄) is at most the mean of
    L(β_t). The constant step R/√(BT) gives R√(B/T). No smoothness is needed.

    Args:
        step_sizes: γ_1 … γ_T > 0.
        squared_gradient: B of `squared_gradient_bound`.
        initial_distance: R² ≥ ‖β_1 − β*‖², squared.
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
    """Theorem 4: the mean of E‖∇L(β_t)‖² over t ≤ T, weighted by γ_t, L μ-smooth.

        Σ_t γ_t E‖∇L(β_t)‖² / Σ_t γ_t ≤ (L(β_1) − L_inf + μB/2 Σ_t γ_t²) / Σ_t γ_t.

    The least of them is no greater. Ghadimi, Lan, "Stochastic first- and zeroth-order
    methods for nonconvex stochastic programming", SIAM J. Optim. 2013, with B in place
    of a variance: smoothness gives E[L(β_{t+1})] ≤ E[L(β_t)] − γ_t E‖∇L(β_t)‖² +
    μγ_t²B/2; sum over t. Without projection.

    Args:
        step_sizes: γ_1 … γ_T > 0.
        squared_gradient: B of `squared_gradient_bound`.
        smoothness: μ > 0.
        initial_gap: L(β_1) − L_inf, for any lower bound L_inf of L.
    """
    steps = _arguments.steps(step_sizes)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    start = _checks.scalar("initial_gap", initial_gap, low=0)
    noise = _arguments.positive("smoothness", smoothness) * b / 2 * np.cumsum(steps**2)
    return (start + noise) / np.cumsum(steps)
