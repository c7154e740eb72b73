"""Convergence bounds for SGD with coded gradients: Lemmas 1–2, Theorems 2–4, C.4.3.

    b = jgc.theory.squared_gradient_bound(plan, squared_norm=c)
    gap = jgc.theory.strongly_convex_gap(
        np.arange(1, 1001), squared_gradient=b, strong_convexity=λ, smoothness=μ
    )

All rest on two facts about a decoded gradient: it is unbiased, E[ĝ] = g, and short,

    E‖ĝ‖² ≤ B = C n² (1 + 1/D)   (Lemma 2, for α ≥ 0),

which the lemmas here give for any unbiased plan. The theorems are functions of B alone,
so that B = C n², its value as p → 0, gives what they say of gradient descent.

The paper's own wording of Theorems 2–4 and of C.4.3 is not part of this project's
sources. What is implemented is the standard result under each one's assumptions, with
its reference and the outline of its proof in the docstring; constants may differ from
the paper's. Iterates may be projected onto a convex set that holds the minimiser in its
interior: distances to it do not grow.

Everything is NumPy float64 on the host: bounds of a curve, not part of training.
"""

from jgc.theory._lemmas import residual_error_bound, squared_gradient_bound
from jgc.theory._non_smooth import non_smooth_average_gap, non_smooth_gap
from jgc.theory._smooth import (
    convex_gap,
    non_convex_gradient,
    strongly_convex_distance,
    strongly_convex_gap,
    strongly_convex_gap_under_steps,
)

__all__ = [
    "convex_gap",
    "non_convex_gradient",
    "non_smooth_average_gap",
    "non_smooth_gap",
    "residual_error_bound",
    "squared_gradient_bound",
    "strongly_convex_distance",
    "strongly_convex_gap",
    "strongly_convex_gap_under_steps",
]
