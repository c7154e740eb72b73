"""The fractional repetition code [5], which is ErasureHead's (EHD) [9]."""

import numpy as np
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._edges import in_blocks


def fractional_repetition(
    p: ArrayLike, *, num_partitions: int, replication: int
) -> CodingPlan:
    """Fractional repetition [5]: groups of d workers hold the same block, a_ij = 1.

    With all weights 1 it is EHD [9] as the paper compares it: biased, a block counts as
    often as it arrives. Decoded by one representative per group
    (`jgc.decoders.representative`) it is ErasureHead as published, and exact whenever
    no group is lost, hence for any d − 1 stragglers, as [5] has it.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1. Workers are grouped
            in the order given; p plays no part in the placement.
        num_partitions: n ≥ 1. The ⌊k/d⌋ groups hold blocks of consecutive partitions,
            as equal as can be; with fewer partitions than groups some hold none.
        replication: d, from 1 to k. Where it does not divide k, groups have d workers
            or more, as equal as can be, so that the guarantee holds.

    Raises:
        ValueError: an argument out of its range.
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k, d = p.size, _checks.count("replication", replication)
    if d > k:
        raise ValueError(f"replication must be at most k = {k}, got {d}")
    num_groups = k // d
    worker, partition, _ = in_blocks(
        worker=np.arange(k),
        block=np.arange(k) * num_groups // k,
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
