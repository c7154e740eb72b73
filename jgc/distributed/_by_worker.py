"""A plan's edges, worker by worker."""

import numpy as np
from jaxtyping import Shaped

from jgc._plan import AnyArray, CodingPlan


def by_worker(
    plan: CodingPlan, edge_values: Shaped[AnyArray, " E"]
) -> list[Shaped[np.ndarray, " b"]]:
    """The values of each worker's edges, in their order: partitions, coefficients."""
    ends = np.searchsorted(plan.edge_worker, np.arange(1, plan.num_workers))
    return np.split(np.asarray(edge_values), ends)
