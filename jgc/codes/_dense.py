"""The dense code (41): every worker holds everything."""

import numpy as np
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._optimal_structure import inverse_odds_shares, plan_from_alpha


def dense(
    p: ArrayLike,
    *,
    num_partitions: int,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """The dense code (41): α_i^j = δ_i^{-1}/D for every partition, load k.

    The least error of all unbiased codes whatever the gradients, n²/D aligned and n/D
    orthogonal, and under mini-batch noise; at k times the work of uncoded descent. The
    yardstick for `interval`, whose `layers` lead up to it.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order. Workers
            with no share of the inverse odds (p_i = 1, or others at 0) hold nothing.
        num_partitions: n ≥ 1.
        expected_weights: w̃_i = (1 − p_i) w_i (17), positive (k,); any choice decodes
            to the same gradient. The default makes messages weighted means.

    Raises:
        ValueError: an argument out of its range.
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    shares = inverse_odds_shares(p)
    holders = np.flatnonzero(shares > 0)
    worker = np.repeat(holders, n)
    return plan_from_alpha(
        p,
        worker,
        partition=np.tile(np.arange(n), holders.size),
        alpha=shares[worker],
        num_partitions=n,
        name="dense",
        expected_weights=expected_weights,
    )
