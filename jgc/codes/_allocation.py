"""How many partitions each worker holds in Schemes I and II.

The allocation decides the signs of α, hence how the code fares with gradients that
differ between partitions; for aligned gradients every allocation is optimal. The
defaults follow Y, because α = Y_i − (b_i − 1) is then the least.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jgc import _checks


def default_for_scheme_i(y: Float[np.ndarray, " k"], n: int) -> Int[np.ndarray, " k"]:
    """b_i − 1 is Y_i rounded down or up; workers with Y_i = 0 hold nothing.

    Of the allocations with Σ (b_i − 1) = n − 1 that differ from Y by less than 1,
    this one has the least certified worst case Σ_i δ_i (Σ_j |α_i^j|)².
    """
    holders = np.flatnonzero(y > 0)
    share = y[holders]
    exclusive = np.floor(share).astype(np.int64)
    missing = n - 1 - int(exclusive.sum())
    if missing < 0:  # every Y_i is an integer: any worker can give up a partition
        exclusive[np.argmax(exclusive)] -= 1
    elif missing > 0:
        # Rounding Y_i up to e turns δ_i (Σ_j |α|)² from δ_i Y_i² into δ_i (2e − Y_i)²,
        # where δ_i ∝ 1/Y_i: the rise is as 1/gain.
        rounded_up = exclusive + 1
        gain = share / (rounded_up * (rounded_up - share))
        exclusive[np.argsort(-gain, kind="stable")[:missing]] += 1
    sizes = np.zeros(y.size, np.int64)
    sizes[holders] = exclusive + 1
    return sizes


def default_for_scheme_ii(y: Float[np.ndarray, " k"], n: int) -> Int[np.ndarray, " k"]:
    """Neighbours share the partition that the cut Y_1 + … + Y_i between them lies in.

    No α is then negative: with this allocation Scheme II is the interval code.

    Args:
        y: row sums in the scheme's order, ascending p; workers with Y_i = 0 hold
            nothing.
        n: number of partitions.
    """
    sizes = np.zeros(y.size, np.int64)
    holders = np.flatnonzero(y > 0)
    cuts = np.cumsum(y[holders])[:-1]
    shared = np.clip(np.ceil(cuts).astype(np.int64) - 1, 0, n - 1)
    sizes[holders] = np.diff(np.concatenate([[0], shared, [n - 1]])) + 1
    return sizes


def checked(
    batch_sizes: ArrayLike,
    p: Float[np.ndarray, " k"],
    y: Float[np.ndarray, " k"],
    n: int,
) -> Int[np.ndarray, " k"]:
    """`batch_sizes` as integers that Schemes I and II can use.

    Raises:
        ValueError: not k integers ≥ 0, data for a worker with p_i = 1, none for a
            worker with Y_i > 0, or a sum other than n − 1 + the workers with data.
    """
    sizes = _checks.vector("batch_sizes", batch_sizes)
    k = p.size
    if sizes.shape != (k,) or (sizes != np.rint(sizes)).any() or (sizes < 0).any():
        raise ValueError(
            f"batch_sizes must be {k} integers ≥ 0, one a worker, got {batch_sizes!r}"
        )
    sizes = sizes.astype(np.int64)
    lost = np.flatnonzero((p == 1) & (sizes > 0))
    if lost.size:
        raise ValueError(
            f"batch_sizes[{lost[0]}] must be 0 because p[{lost[0]}] = 1 (it never "
            f"answers), got {sizes[lost[0]]}"
        )
    idle = np.flatnonzero((y > 0) & (sizes == 0))
    if idle.size:
        raise ValueError(
            f"batch_sizes[{idle[0]}] must be at least 1 because p[{idle[0]}] = "
            f"{p[idle[0]]} < 1, got 0"
        )
    holders = int((sizes > 0).sum())
    if sizes.sum() != n + holders - 1:
        raise ValueError(
            f"batch_sizes must sum to n + k − 1 = {n + holders - 1} (n = {n} "
            f"partitions, k = {holders} workers with data), got {batch_sizes!r} with "
            f"sum {sizes.sum()}"
        )
    return sizes
