"""New coefficients for a running job whose straggler probabilities have moved [ours].

    p = estimator.probabilities(state)                  # every so many iterations
    plan = redesign(plan, p, tolerance=0.1)

The plan that comes back has the arrays' sizes, the names and the placement of the one
that went in: compiled functions that take the plan as an argument go on, and no data
moves.
"""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike

from jgc import _checks, residual
from jgc.codes import on_placement
from jgc.plan import CodingPlan


def redesign(
    plan: CodingPlan,
    p: ArrayLike,
    *,
    tolerance: float = 0.1,
    similarity: float = 1.0,
) -> CodingPlan:
    """The plan itself while it is good enough under p, else the best on its placement.

    Good enough is an error E‖g − ĝ‖² under p of at most (1 + tolerance) times that of
    `jgc.codes.on_placement(p, plan)`; bias counts, which a plan for other p has. So the
    estimate has moved enough when staying would cost a share `tolerance`, and not when
    it merely moved.

    For the host, between iterations; O(n + k) where the placement is a tree.

    Args:
        plan: that is in use, of any code; one that is not optimal for its own p is
            replaced sooner.
        p: straggler probabilities (k,), strictly between 0 and 1, as estimators give
            them.
        tolerance: ≥ 0; 0 replaces the plan whenever that helps.
        similarity: ρ in [0, 1] of the gradients whose error is compared.

    Raises:
        ValueError: an argument out of its range; p for another number of workers.

    Warns:
        jgc.codes.NegativeCoefficientWarning: some α < 0, as in `on_placement`.
    """
    tolerance = _checks.scalar("tolerance", tolerance, low=0)
    probabilities = _checks.probabilities(p)
    if ((probabilities == 0) | (probabilities == 1)).any():
        raise ValueError(
            "p must lie strictly between 0 and 1, so that every worker keeps its data; "
            "estimators of jgc.stragglers.estimation see to it"
        )
    best = _on_same_edges(plan, on_placement(p, plan, similarity=similarity))
    kept = dataclasses.replace(plan, straggler_probabilities=probabilities)
    error = residual.exact(kept, similarity=similarity).mean
    least = residual.exact(best, similarity=similarity).mean
    # Rounding alone is no gain, even at tolerance 0.
    return best if error > (1 + tolerance + 1e-9) * least else plan


def _on_same_edges(plan: CodingPlan, best: CodingPlan) -> CodingPlan:
    """`best` as coefficients of the edges of `plan`, 0 on those that it leaves out."""
    n = plan.num_partitions
    edges = np.asarray(plan.edge_worker, np.int64) * n + np.asarray(plan.edge_partition)
    order = np.argsort(edges)
    used = np.asarray(best.edge_worker, np.int64) * n + np.asarray(best.edge_partition)
    coefficient = np.zeros(plan.num_edges)
    coefficient[order[np.searchsorted(edges, used, sorter=order)]] = (
        best.edge_coefficient
    )
    return dataclasses.replace(
        plan,
        straggler_probabilities=best.straggler_probabilities,
        edge_coefficient=coefficient,
        weights=best.weights,
    )
