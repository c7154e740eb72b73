"""The examples of each partition, to be sent to the workers that hold it."""

import jax
import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan
from jgc.training._simulated import Examples


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
    _checks.numbers_below("partition", labels, num_partitions)
    leaves, structure = jax.tree.flatten(examples)
    arrays = [np.asarray(leaf) for leaf in leaves]
    return [
        jax.tree.unflatten(structure, [array[rows] for array in arrays])
        for rows in (np.flatnonzero(labels == j) for j in range(num_partitions))
    ]


def by_worker(
    plan: CodingPlan, edge_values: Shaped[AnyArray, " E"]
) -> list[Shaped[np.ndarray, " b"]]:
    """The values of each worker's edges, in their order: partitions, coefficients."""
    ends = np.searchsorted(plan.edge_worker, np.arange(1, plan.num_workers))
    return np.split(np.asarray(edge_values), ends)
