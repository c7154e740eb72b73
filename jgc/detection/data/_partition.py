"""Cutting a data set into the n equal partitions that gradient coding assigns."""

import numpy as np
from jaxtyping import Int32


def assign_partitions(
    num_examples: int, *, num_partitions: int, seed: int | np.random.Generator = 0
) -> Int32[np.ndarray, " N"]:
    """Assigns every example to one of n partitions at random, in equal shares.

    With coefficients c of shape (n,), c[partition] are the examples' weights in
    ĝ = Σ_j c_j g_j.

    Args:
        num_examples: N, at least n.
        num_partitions: n, at least 1. Where n doesn't divide N, the first
            N mod n partitions hold one example more.
        seed: a seed, or the generator to draw from.

    Returns:
        partition (N,): numbers 0 to n − 1; the same seed gives the same ones.

    Raises:
        ValueError: n < 1, or N < n, which would leave a partition without data.
    """
    if num_partitions < 1:
        raise ValueError(f"num_partitions={num_partitions} must be at least 1")
    if num_examples < num_partitions:
        raise ValueError(
            f"num_examples={num_examples} must be at least "
            f"num_partitions={num_partitions}, so that no partition is empty"
        )
    partition = np.arange(num_examples, dtype=np.int32) % np.int32(num_partitions)
    return np.random.default_rng(seed).permutation(partition)
