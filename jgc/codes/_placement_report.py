"""What a placement achieved: replication and pairwise balance."""

from typing import NamedTuple

import numpy as np
import scipy.sparse
from jaxtyping import Int

from jgc._plan import CodingPlan


class PlacementReport(NamedTuple):
    """How evenly partitions are spread over workers.

    Attributes:
        replication: d_j (n,), the number of workers that hold partition j.
        least_overlap: over pairs of partitions, the fewest workers that hold both.
        mean_overlap: the mean over pairs.
        most_overlap: the most.
        ideal_overlap: the mean over pairs of d_j d_l/k, k counting workers with data;
            a placement is pairwise balanced [12] when all overlaps are near it.
    """

    replication: Int[np.ndarray, " n"]
    least_overlap: int
    mean_overlap: float
    most_overlap: int
    ideal_overlap: float


def placement_report(plan: CodingPlan) -> PlacementReport:
    """Replication per partition and pairwise balance; in time and space of Σ_i b_i².

    With one partition there are no pairs, and all overlaps are 0.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> report = placement_report(plan)
        >>> report.replication.tolist()
        [2, 2, 2, 2]
        >>> report.least_overlap, report.most_overlap, report.ideal_overlap
        (0, 2, 1.0)
    """
    n = plan.num_partitions
    worker, partition = np.asarray(plan.edge_worker), np.asarray(plan.edge_partition)
    d = np.bincount(partition, minlength=n)
    num_pairs = n * (n - 1) // 2
    shared = overlap_counts(worker, partition).data
    num_holders = max(np.unique(worker).size, 1)
    products = (float(d.sum()) ** 2 - float((d.astype(float) ** 2).sum())) / 2
    return PlacementReport(
        replication=d,
        least_overlap=int(shared.min()) if 0 < shared.size == num_pairs else 0,
        mean_overlap=float(shared.sum()) / max(num_pairs, 1),
        most_overlap=int(shared.max(initial=0)),
        ideal_overlap=products / num_holders / max(num_pairs, 1),
    )


def overlap_counts(
    worker: Int[np.ndarray, " E"], partition: Int[np.ndarray, " E"]
) -> scipy.sparse.csr_array:
    """The number of workers that partitions j < l share, where there are any."""
    held = scipy.sparse.csr_array((np.ones(worker.size, np.int32), (worker, partition)))
    return scipy.sparse.triu(held.T @ held, k=1, format="csr")
