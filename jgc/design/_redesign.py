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
from jgc._plan import CodingPlan
from jgc.codes import on_placement
from jgc.gradients import GradientsLike, as_similarity, common

_HALF_COMMON = common(0.5)


def redesign(
    plan: CodingPlan,
    p: ArrayLike,
    *,
    tolerance: float = 0.1,
    gradients: GradientsLike = _HALF_COMMON,
) -> CodingPlan:
    """The plan itself while it is good enough under p, else the best on its placement.

    With e the least error of an unbiased code on the placement under p, good enough is
    an error E‖g − ĝ‖² of at most (1 + tolerance) e, of which at most tolerance · e is
    squared bias: a plan for other p is biased, which may make its error the smaller of
    the two, but does not average out over iterations. So the estimate has moved enough
    when staying would cost a share `tolerance`, and not when it merely moved.

    For the host, between iterations; one sparse linear solve.

    Args:
        plan: that is in use, of any code; one that is not optimal for its own p is
            replaced sooner.
        p: straggler probabilities (k,), strictly between 0 and 1, as estimators give
            them.
        tolerance: ≥ 0; 0 replaces the plan whenever that helps.
        gradients: how the partition gradients relate, a similarity ρ or of
            `jgc.gradients` by similarity or common part. At 1, the paper's objective
            (15), one set of α has the least error on a tree, and it costs gradients
            that differ dearly, up to tens of times their error, as soon as p moves
            against the placement. The default, `common(0.5)`, holds both errors down.

    Raises:
        ValueError: an argument out of its range; p for another number of workers.

    Warns:
        jgc.codes.NegativeCoefficientWarning: some α < 0, as in `on_placement`.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> moved = redesign(plan, [0.5, 0.2])
        >>> float(np.abs(residual.bias(moved)).max()) < 1e-12
        True
    """
    rho = as_similarity(gradients, plan.num_partitions)
    tolerance = _checks.scalar("tolerance", tolerance, low=0)
    probabilities = _checks.probabilities(p)
    if ((probabilities == 0) | (probabilities == 1)).any():
        raise ValueError(
            "p must lie strictly between 0 and 1, so that every worker keeps its data; "
            "estimators of jgc.stragglers.estimation see to it"
        )
    best = _on_same_edges(plan, on_placement(p, plan, gradients=rho))
    kept = dataclasses.replace(plan, straggler_probabilities=probabilities)
    error = residual.exact(kept, gradients=rho).mean
    least = residual.exact(best, gradients=rho).mean
    bias = residual.bias(kept)
    squared_bias = rho * bias.sum() ** 2 + (1 - rho) * (bias**2).sum()
    # Rounding alone is no gain, even at tolerance 0.
    excess = max(error - least, squared_bias)
    return best if excess > (tolerance + 1e-9) * least else plan


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
