"""The interval code: optimal, and never negative [ours]."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._optimal_structure import plan_from_alpha, row_sums


def interval(
    p: ArrayLike,
    *,
    num_partitions: int,
    layers: int = 1,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """Cuts the line [0, n] at Y_1 + … + Y_i; α_i^j is what worker i covers of j.

    McNaughton's wrap-around rule applied to gradient coding; not in the paper. Every
    α ≥ 0, so that all bounds of the paper hold for all gradients, and there is no
    allocation to choose: where weights are fixed, the code to start with. Load at most
    (n + k − 1)/n; of equal p and n a multiple of k it is 1, as nothing is copied.

    What is proved is for fixed weights and independent stragglers: for equal gradients
    no unbiased code, of whatever load, has an error below its n²/D (Theorem 1). For
    gradients that differ the least is `dense`'s, and no code is known to be best at
    this load. Nor is it best for decoders that look at who answered: for k = n = 10 and
    p_i = 0.1 at load 2 (two layers) its error is 0.011 ‖g‖² for equal and 0.056 ‖g‖²
    for orthogonal gradients, that of `fractional_repetition` with d = 2, decoded by
    representatives, 0.0021 and 0.010, with a bias of 1 %.

    With `layers` r > 1 it is the mean of r such codes, each shifted by one partition
    against the last: load up to (n + k − 1 + (r − 1)k)/n, less error when gradients
    differ between partitions, no change when they are aligned. r = n is the dense code
    (41).

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order.
        num_partitions: n ≥ 1.
        layers: r, from 1 to n.
        expected_weights: w̃_i = (1 − p_i) w_i (17), positive (k,); any choice decodes
            to the same gradient. The default makes messages weighted means.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = interval([0.2, 0.2, 0.5, 0.5], num_partitions=4)
        >>> plan.alpha().round(2).tolist()  # Y = 1.6, 1.6, 0.4, 0.4
        [[1.0, 0.6, 0.0, 0.0], [0.0, 0.4, 1.0, 0.2], [0.0, 0.0, 0.0, 0.4], \
[0.0, 0.0, 0.0, 0.4]]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    layers = _checks.count("layers", layers)
    if layers > n:
        raise ValueError(f"layers must be at most num_partitions = {n}, got {layers}")
    order = np.argsort(p, kind="stable")
    rank, partition, alpha = overlaps(row_sums(p, n)[order], n)
    worker = order[rank]
    if layers > 1:
        worker, partition, alpha = _mean_of_shifts(worker, partition, alpha, n, layers)
    return plan_from_alpha(
        p,
        worker,
        partition,
        alpha,
        num_partitions=n,
        name="interval" if layers == 1 else f"interval, {layers} layers",
        expected_weights=expected_weights,
    )


def overlaps(
    y: Float[np.ndarray, " k"], n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges (rank, partition, α) of consecutive pieces of lengths y on [0, n]."""
    ends = np.cumsum(y.astype(np.longdouble)).astype(np.float64)
    # A cut that rounding left beside a partition's end lies on it.
    nearest = np.rint(ends)
    rounding = 8 * np.finfo(np.float64).eps * n
    ends = np.where(np.abs(ends - nearest) <= rounding, nearest, ends)
    ends = np.minimum(ends, n)
    ends[np.flatnonzero(y > 0)[-1] :] = n
    starts = np.concatenate([[0.0], ends[:-1]])

    first = np.floor(starts).astype(np.int64)
    count = np.where(ends > starts, np.ceil(ends).astype(np.int64) - first, 0)
    rank = np.repeat(np.arange(y.size), count)
    offset = np.arange(rank.size) - np.repeat(np.cumsum(count) - count, count)
    partition = first[rank] + offset
    covered = np.minimum(ends[rank], partition + 1) - np.maximum(
        starts[rank], partition
    )
    # Within one partition the length is Y_i itself, however small beside the cuts.
    return rank, partition, np.where(count[rank] == 1, y[rank], covered)


def _mean_of_shifts(
    worker: np.ndarray, partition: np.ndarray, alpha: np.ndarray, n: int, layers: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean of the code and its cyclic shifts by 1, …, layers − 1 partitions."""
    shifts = np.arange(layers)[:, None]
    pair = (worker * n + (partition + shifts) % n).ravel()
    pair, edge = np.unique(pair, return_inverse=True)
    total = np.bincount(
        edge, weights=np.broadcast_to(alpha, (layers, alpha.size)).ravel()
    )
    return pair // n, pair % n, total / layers
