"""Convergence of SGD with coded gradients: the paper's theorems, and sharper ones.

    b = jgc.theory.lemma_2(plan, squared_norm=c).squared_gradient
    distance = jgc.theory.theorem_2(
        np.arange(1, 1001), squared_gradient=b, strong_convexity=λ
    )

All rest on two facts about a decoded gradient: it is unbiased, E[ĝ] = g, and short,

    E‖ĝ‖² ≤ B = C n² (1 + 1/D)   (Lemma 2, for α ≥ 0).

The theorems are functions of B alone, so that B = C n², its value as p → 0, gives what
they say of gradient descent.

| as the paper states it | says | sharper, or wider, under a name of its own |
| --- | --- | --- |
| `lemma_1` (10) | E‖g − ĝ‖² | `residual_error_bound`: negative α as well |
| `lemma_2` (19)–(20), C.4.1 | and B | `squared_gradient_bound`: any unbiased plan |
| `theorem_2` (30) | E‖β_T − β*‖² | `strongly_convex_gap`: of the loss |
| `theorem_3_constant_steps` (31) | mean of E‖g‖² | `non_convex_gradient`: any steps |
| `theorem_3_falling_steps` (33) | mean of E‖g‖² | |
| `theorem_4` (35) | E‖β_t − β*‖² | `strongly_convex_distance`: 1 − 2γλ for 1 − γλ |
| `theorem_4_limit` (36) | its limit | |

The limits (32), (34) and (37) are 0. C.4.3 refers to [22], which is `non_smooth_gap`;
`non_smooth_average_gap` and `convex_gap` are of other authors. Docstrings say where a
statement needs more than it says; each has its reference or the outline of its proof.

Everything is NumPy float64 on the host: bounds of a curve, not part of training.
"""

from jgc.theory._lemmas import (
    Lemma2,
    lemma_1,
    lemma_2,
    residual_error_bound,
    squared_gradient_bound,
)
from jgc.theory._non_smooth import non_smooth_average_gap, non_smooth_gap
from jgc.theory._sharper import (
    convex_gap,
    non_convex_gradient,
    strongly_convex_distance,
    strongly_convex_gap,
)
from jgc.theory._theorems import (
    theorem_2,
    theorem_3_constant_steps,
    theorem_3_falling_steps,
    theorem_4,
    theorem_4_limit,
)

__all__ = [
    "Lemma2",
    "convex_gap",
    "lemma_1",
    "lemma_2",
    "non_convex_gradient",
    "non_smooth_average_gap",
    "non_smooth_gap",
    "residual_error_bound",
    "squared_gradient_bound",
    "strongly_convex_distance",
    "strongly_convex_gap",
    "theorem_2",
    "theorem_3_constant_steps",
    "theorem_3_falling_steps",
    "theorem_4",
    "theorem_4_limit",
]
