"""c of a fixed decoder from its edges, a few gathers of whole rows of trials."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jgc._plan import AnyArray, CodingPlan

# Holders of a partition that are gathered, at one each for all partitions; further
# ones are scattered, at about three times the cost each. Most partitions of a code of
# load 2 have no more.
_GATHERED = 3


class SparseRows(NamedTuple):
    """(w_i a_ij) by partition; a pytree.

    Attributes:
        worker: the first holders of each partition, any where there are fewer.
        coefficient: w_i a_ij of those, 0 where there are fewer.
        rest_worker: workers of the other edges.
        rest_partition: their partitions.
        rest_coefficient: their w_i a_ij.
    """

    worker: Int[AnyArray, "gathered n"]
    coefficient: Float[AnyArray, "gathered n"]
    rest_worker: Int[AnyArray, " rest"]
    rest_partition: Int[AnyArray, " rest"]
    rest_coefficient: Float[AnyArray, " rest"]

    def coefficients(self, mask: Bool[Array, "k trials"]) -> Float[Array, "n trials"]:
        """c_j = Σ_i I_i w_i a_ij."""
        answered = mask.astype(self.coefficient.dtype)
        c = jnp.zeros((self.worker.shape[1], mask.shape[1]), answered.dtype)
        for worker, coefficient in zip(self.worker, self.coefficient, strict=True):
            c = c + answered[worker] * coefficient[:, None]
        rest = answered[self.rest_worker] * self.rest_coefficient[:, None]
        return c.at[self.rest_partition].add(rest)


def sparse_rows(plan: CodingPlan, dtype: type) -> SparseRows:
    """Sorts the edges by partition; on the host."""
    partition = np.asarray(plan.edge_partition)
    order = np.argsort(partition, kind="stable")
    partition = partition[order]
    worker = np.asarray(plan.edge_worker)[order]
    a = np.asarray(plan.edge_coefficient, np.float64)[order]
    values = (np.asarray(plan.weights, np.float64)[worker] * a).astype(dtype)
    holder = np.arange(partition.size) - np.searchsorted(partition, partition)
    near = holder < _GATHERED
    shape = (_GATHERED, plan.num_partitions)
    first_worker = np.zeros(shape, np.int32)
    first_value: np.ndarray = np.zeros(shape, dtype)
    first_worker[holder[near], partition[near]] = worker[near]
    first_value[holder[near], partition[near]] = values[near]
    return SparseRows(
        worker=first_worker,
        coefficient=first_value,
        rest_worker=worker[~near].astype(np.int32),
        rest_partition=partition[~near].astype(np.int32),
        rest_coefficient=values[~near],
    )
