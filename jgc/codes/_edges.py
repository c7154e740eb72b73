"""Edges (worker, partition) of blocks and of placements."""

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jgc._plan import CodingPlan


def in_blocks(
    worker: Int[np.ndarray, " E"],
    block: Int[np.ndarray, " E"],
    *,
    num_blocks: int,
    num_partitions: int,
) -> tuple[Int[np.ndarray, " F"], Int[np.ndarray, " F"], Int[np.ndarray, " F"]]:
    """Edges between workers and blocks as edges between workers and partitions.

    The blocks are consecutive and as equal as can be; with fewer partitions than
    blocks some are empty.

    Returns:
        The worker, the partition and the given edge of each new edge.
    """
    n = num_partitions
    sizes = np.bincount(np.arange(n) * num_blocks // n, minlength=num_blocks)
    first = np.cumsum(sizes) - sizes
    count = sizes[block]
    edge = np.repeat(np.arange(block.size), count)
    offset = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count)
    return worker[edge], first[block][edge] + offset, edge


def placement_edges(
    name: str, placement: ArrayLike | CodingPlan, num_workers: int
) -> tuple[Int[np.ndarray, " E"], Int[np.ndarray, " E"], int]:
    """The worker and the partition of each edge of a placement, and n.

    Args:
        name: of the argument, for errors.
        placement: a boolean matrix (k, n), or a plan whose edges are meant.
        num_workers: k.

    Raises:
        ValueError: neither of the two, or not for k workers.
    """
    if isinstance(placement, CodingPlan):
        k, n = placement.num_workers, placement.num_partitions
        worker = np.asarray(placement.edge_worker, np.int64)
        partition = np.asarray(placement.edge_partition, np.int64)
        if worker.ndim != 1:
            raise ValueError(
                f"{name} must be one plan, got a batch of shape {worker.shape[:-1]}"
            )
        pair = np.sort(worker * n + partition)
        pair = pair[np.diff(pair, prepend=-1) > 0]
        worker, partition = pair // n, pair % n
    else:
        matrix = _boolean_matrix(name, placement)
        k, n = matrix.shape
        worker, partition = np.nonzero(matrix)
    if k != num_workers:
        raise ValueError(
            f"{name} must be for {num_workers} workers, one per entry of p, got {k}"
        )
    return worker, partition, n


def without_lost_workers(
    name: str,
    p: Float[np.ndarray, " k"],
    worker: Int[np.ndarray, " E"],
    partition: Int[np.ndarray, " E"],
    n: int,
) -> tuple[Int[np.ndarray, " F"], Int[np.ndarray, " F"]]:
    """The edges of workers that ever answer.

    Raises:
        ValueError: a partition is on no such worker.
    """
    live = p[worker] < 1
    worker, partition = worker[live], partition[live]
    lost = np.flatnonzero(np.bincount(partition, minlength=n) == 0)
    if lost.size:
        raise ValueError(
            f"{name} must put every partition on a worker that can answer (p_i < 1); "
            f"{lost.size} of {n} are on none, the first is partition {lost[0]}"
        )
    return worker, partition


def _boolean_matrix(name: str, value: ArrayLike) -> np.ndarray:
    try:
        matrix = np.asarray(value)
    except ValueError as error:  # rows of unequal lengths
        raise ValueError(f"{name} must be a boolean matrix: {error}") from None
    is_boolean = matrix.dtype == bool or (
        matrix.dtype.kind in "iuf" and np.isin(matrix, (0, 1)).all()
    )
    if matrix.ndim != 2 or matrix.size == 0 or not is_boolean:
        raise ValueError(
            f"{name} must be a CodingPlan or a boolean (k, n) matrix, got shape "
            f"{matrix.shape} and dtype {matrix.dtype}"
        )
    return matrix.astype(bool)


def without_zeros(
    worker: Int[np.ndarray, " E"],
    partition: Int[np.ndarray, " E"],
    alpha: Float[np.ndarray, " E"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The edges whose α is not 0: no data for what is not used."""
    used = alpha != 0
    return worker[used], partition[used], alpha[used]
