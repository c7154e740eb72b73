"""The examples of each partition, to be sent to the workers that hold it."""

import jax
import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from jgc.training.simulated import Examples


def split_examples(
    examples: Examples, partition: ArrayLike, *, num_partitions: int
) -> list[Examples]:
    """D_1 … D_n: the examples of each partition, in their order, as NumPy arrays.

    Args:
        examples: a pytree of arrays with a leading axis over the N examples.
        partition: which of the n partitions an example is in (N,).
        num_partitions: n.

    Raises:
        ValueError: a partition out of range, or not one for each example.
    """
    labels = np.asarray(partition)
    sizes = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(examples)}
    if sizes != {labels.shape}:
        raise ValueError(
            f"partition must have one entry an example, got shape {labels.shape} for "
            f"leading axes {sorted(sizes)}"
        )
    if labels.size and not (labels.min() >= 0 and labels.max() < num_partitions):
        raise ValueError(
            f"partition must lie in [0, {num_partitions}), got entries from "
            f"{labels.min()} to {labels.max()}"
        )
    leaves, structure = jax.tree.flatten(examples)
    arrays = [np.asarray(leaf) for leaf in leaves]
    return [
        jax.tree.unflatten(structure, [array[rows] for array in arrays])
        for rows in (np.flatnonzero(labels == j) for j in range(num_partitions))
    ]


def held_partitions(
    edge_worker: Int[np.ndarray, " E"],
    edge_partition: Int[np.ndarray, " E"],
    num_workers: int,
) -> list[Int[np.ndarray, " b"]]:
    """The partitions of each worker, in the order of its edges."""
    ends = np.searchsorted(edge_worker, np.arange(1, num_workers))
    return np.split(np.asarray(edge_partition), ends)
