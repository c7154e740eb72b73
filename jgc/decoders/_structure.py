"""What a decoder can use of a plan that it sees on the host: groups, and a narrow band.

Workers whose messages are multiples of one another, as many of an interval code's are
that hold one and the same partition, decode as one. The rest, in a good order, overlap
with near ones only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

from jgc._plan import CodingPlan

# The recursions are written out over the band, w²/2 products a group, and so is the
# program. On a CPU they are faster than LAPACK while w² is at most the groups.
_LARGEST_BANDWIDTH = 16

# Coefficients that agree to this many digits agree.
_DIGITS = 12


class Structure(NamedTuple):
    """Groups of workers in an order of small bandwidth; hashable.

    Attributes:
        group: of each worker, numbered in the order.
        representative: one worker of each group.
        bandwidth: the largest distance of two groups that share a partition, or None
            where it is not worth using.
    """

    group: tuple[int, ...]
    representative: tuple[int, ...]
    bandwidth: int | None


def structure_of(plans: Sequence[CodingPlan]) -> Structure:
    """Groups and order that hold for all plans, of equal k and n; on the host."""
    k = plans[0].num_workers
    matrices = [encoding_rows(plan) for plan in plans]
    group, first = _groups(matrices, k)
    order, bandwidth = _order([matrix[first] for matrix in matrices])
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    is_narrow = bandwidth <= _LARGEST_BANDWIDTH and bandwidth**2 <= order.size
    return Structure(
        group=tuple(rank[group].tolist()),
        representative=tuple(first[order].tolist()),
        bandwidth=bandwidth if is_narrow else None,
    )


def encoding_rows(plan: CodingPlan) -> sparse.csr_array:
    """A, sparse, without entries that are 0."""
    shape = (plan.num_workers, plan.num_partitions)
    edges = (np.asarray(plan.edge_worker), np.asarray(plan.edge_partition))
    a = np.asarray(plan.edge_coefficient, np.float64)
    matrix = sparse.csr_array((a, edges), shape=shape)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix


def _groups(
    matrices: Sequence[sparse.csr_array], k: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " groups"]]:
    """The group of each worker, and its first worker."""
    numbers: dict[tuple[bytes, ...], int] = {}
    group = np.empty(k, np.int64)
    rows = [_directions(matrix) for matrix in matrices]
    for i in range(k):
        signature = tuple(
            part[matrix.indptr[i] : matrix.indptr[i + 1]].tobytes()
            for matrix, direction in zip(matrices, rows, strict=True)
            for part in (matrix.indices, direction)
        )
        group[i] = numbers.setdefault(signature, len(numbers))
    return group, np.unique(group, return_index=True)[1]


def _directions(matrix: sparse.csr_array) -> Float[np.ndarray, " E"]:
    """Coefficients over the size of their worker's largest, rounded."""
    sizes = np.diff(matrix.indptr)
    largest = np.abs(matrix).max(axis=1).toarray().ravel()
    return np.round(matrix.data / np.repeat(largest, sizes), _DIGITS) + 0.0


def _order(
    matrices: Sequence[sparse.csr_array],
) -> tuple[Int[np.ndarray, " groups"], int]:
    """Reverse Cuthill–McKee on who shares a partition, and the bandwidth it leaves."""
    size = matrices[0].shape[0]
    pattern = sparse.csr_array((size, size), dtype=bool)
    for matrix in matrices:
        support = (matrix != 0).astype(np.int64)
        # The holders of a partition are a clique, which no order makes narrow.
        if np.asarray(support.sum(axis=0)).max(initial=0) > _LARGEST_BANDWIDTH + 1:
            return np.arange(size), size - 1
        # Booleans: counts of plans would wrap round to 0 in a small integer.
        pattern = pattern + (support @ support.T > 0)
    graph = sparse.csr_matrix(pattern, dtype=np.int8)
    order = reverse_cuthill_mckee(graph, symmetric_mode=True)
    rank = np.empty(size, np.int64)
    rank[order] = np.arange(size)
    row, column = pattern.nonzero()
    return order, int(np.abs(rank[row] - rank[column]).max(initial=0))
