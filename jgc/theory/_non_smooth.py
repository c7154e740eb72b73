"""C.4.3: strongly convex losses with kinks, such as the hinge loss."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.theory import _arguments


def non_smooth_gap(
    iterates: ArrayLike, *, squared_gradient: float, strong_convexity: float
) -> Float[np.ndarray, " T"]:
    """E[L(β_t) − L*] ≤ 17 B (1 + log t)/(λt), L λ-strongly convex, not smooth (C.4.3).

    Steps γ_t = 1/(λt), the last iterate. The paper states no bound in C.4.3 but refers
    to its [22]: Shamir, Zhang, "Stochastic gradient descent for non-smooth
    optimization: convergence results and optimal averaging schemes", ICML 2013,
    Theorem 1; the proof compares averages over longer and longer suffixes.

    Args:
        iterates: t ≥ 1, where β_1 is the start (T,).
        squared_gradient: B of `squared_gradient_bound`, for subgradients.
        strong_convexity: λ > 0.

    Example:
        >>> options = {"squared_gradient": 1.0, "strong_convexity": 0.5}
        >>> non_smooth_gap([1, 100], **options).round(3).tolist()
        [34.0, 1.906]
    """
    t = _arguments.iterates(iterates)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    return (
        17
        * b
        * (1 + np.log(t))
        / (_arguments.positive("strong_convexity", strong_convexity) * t)
    )


def non_smooth_average_gap(
    horizons: ArrayLike, *, squared_gradient: float, strong_convexity: float
) -> Float[np.ndarray, " T"]:
    """For an average: E[L(β̄_T) − L*] ≤ 2B/(λ(T + 1)), no logarithm; not in the paper.

    Steps γ_t = 2/(λ(t + 1)) and β̄_T = Σ_t t β_t / Σ_t t. Lacoste-Julien, Schmidt, Bach,
    "A simpler approach to obtaining an O(1/t) convergence rate for the projected
    stochastic subgradient method", arXiv:1212.2002: multiply
    E[L(β_t) − L*] ≤ γ_t B/2 + (1/γ_t − λ)/2 r_t − 1/(2γ_t) r_{t+1} by t; the right-hand
    sides telescope.

    Args:
        horizons: T ≥ 1.
        squared_gradient: B of `squared_gradient_bound`, for subgradients.
        strong_convexity: λ > 0.

    Example:
        >>> options = {"squared_gradient": 1.0, "strong_convexity": 0.5}
        >>> non_smooth_average_gap([1, 99], **options).tolist()
        [2.0, 0.04]
    """
    t = _arguments.iterates(horizons)
    b = _checks.scalar("squared_gradient", squared_gradient, low=0)
    return 2 * b / (_arguments.positive("strong_convexity", strong_convexity) * (t + 1))
