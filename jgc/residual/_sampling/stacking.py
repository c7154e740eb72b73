"""Plans of equal sizes as one batch."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from jgc._plan import CodingPlan


def equal_edge_counts(plans: Sequence[CodingPlan]) -> list[CodingPlan]:
    """The plans with edges of coefficient 0 appended, up to the largest E.

    Decoders read a coefficient 0 as no edge, so that nothing else changes.

    Raises:
        ValueError: plans of different k or n.
    """
    sizes = {(plan.num_workers, plan.num_partitions) for plan in plans}
    if len(sizes) > 1:
        raise ValueError(
            "plan must be plans of equal num_workers and num_partitions, got "
            f"(k, n) = {sorted(sizes)}"
        )
    most = max(plan.num_edges for plan in plans)
    return [_padded(plan, most - plan.num_edges) for plan in plans]


def _padded(plan: CodingPlan, extra: int) -> CodingPlan:
    if extra == 0:
        return plan
    return replace(
        plan,
        # The last worker keeps edges sorted by worker.
        edge_worker=np.pad(
            np.asarray(plan.edge_worker),
            (0, extra),
            constant_values=plan.num_workers - 1,
        ),
        edge_partition=np.pad(np.asarray(plan.edge_partition), (0, extra)),
        edge_coefficient=np.pad(np.asarray(plan.edge_coefficient), (0, extra)),
    )
