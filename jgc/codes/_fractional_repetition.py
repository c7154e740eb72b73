"""The fractional repetition code [5], which is ErasureHead's (EHD) [9]."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._edges import in_blocks


def fractional_repetition(
    p: ArrayLike, *, num_partitions: int, replication: int, balanced: bool = False
) -> CodingPlan:
    """Fractional repetition [5]: groups of d workers hold the same block, a_ij = 1.

    With all weights 1, the plan's own, it is EHD [9] as the paper compares it: biased,
    as a block counts as often as it arrives. So give `CodingPlan.decode` and
    `decoders.fixed` up for another decoder: `best_unbiased` is right on average;
    `representative`, one message a group, makes it ErasureHead as published, exact
    whenever no group is lost, hence for any d − 1 stragglers, as [5] has it.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1. Workers are grouped
            in the order given; p plays no part in the placement.
        num_partitions: n ≥ 1. The ⌊k/d⌋ groups hold blocks of consecutive partitions,
            as equal as can be; with fewer partitions than groups some hold none.
        replication: d, from 1 to k. Where it does not divide k, groups have d workers
            or more, as equal as can be, so that the guarantee holds: of 6 workers,
            d = 4 makes one group, a load of 6.
        balanced: mix reliable and unreliable workers, in groups of any sizes, so that
            all groups are about as likely to be lost, Π p_i [ours]: the least error
            of `decoders.best_unbiased` at a load, where workers differ. Takes the
            workers from the most reliable on, each into the group that is lost most
            often so far; a worker with p_i = 1 holds nothing. The load is d for groups
            of equal blocks; the guarantee for d − 1 stragglers goes.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = fractional_repetition([0.1] * 4, num_partitions=2, replication=2)
        >>> plan.encoding_matrix().tolist()
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
        >>> (plan.encoding_matrix()[0] + plan.encoding_matrix()[3]).tolist()  # g
        [1.0, 1.0]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k, d = p.size, _checks.count("replication", replication)
    if d > k:
        raise ValueError(f"replication must be at most k = {k}, got {d}")
    num_groups = k // d
    workers, groups = np.arange(k), np.arange(k) * num_groups // k
    if balanced:
        workers, groups = _balanced_groups(p, max(1, int((p < 1).sum()) // d))
        num_groups = int(groups.max()) + 1
    worker, partition, _ = in_blocks(
        worker=workers,
        block=groups,
        num_blocks=num_groups,
        num_partitions=n,
    )
    return CodingPlan.from_edges(
        worker,
        partition,
        np.ones(worker.size),
        p=p,
        weights=np.ones(k),
        num_partitions=n,
        name="fractional_repetition",
    )


def _balanced_groups(
    p: Float[np.ndarray, " k"], num_groups: int
) -> tuple[Int[np.ndarray, " live"], Int[np.ndarray, " live"]]:
    """Workers that ever answer and their groups, by longest processing time first."""
    workers = np.flatnonzero(p < 1)
    # −log p, of which a worker that never fails has more than any group needs.
    surety = -np.log(np.maximum(p[workers], 1e-30))
    groups = np.zeros(workers.size, np.int64)
    total, size = np.zeros(num_groups), np.zeros(num_groups)
    for at in np.argsort(-surety, kind="stable"):
        # Of groups as sure, the smaller.
        group = np.lexsort((size, total))[0]
        groups[at] = group
        total[group] += surety[at]
        size[group] += 1
    return workers, groups
