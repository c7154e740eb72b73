"""Expander codes [7]: workers and blocks are the vertices of a regular graph."""

import jax
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._edges import in_blocks
from jgc.codes._random_graph import nearly_regular_graph
from jgc.codes._randomness import generator

_ATTEMPTS = 100


def expander(
    p: ArrayLike, *, num_partitions: int, replication: int, key: jax.Array
) -> CodingPlan:
    """Expander code [7]: worker i holds the blocks of its d neighbours, a_ij = 1.

    The graph is a random d-regular one on k vertices, connected and not bipartite. With
    λ the second largest absolute eigenvalue of its adjacency matrix, n = k and the
    weight k/((k − s)d) for each of the k − s who answered (`jgc.decoders.normalised`
    where p is the same for all),

        ‖c − 1‖² ≤ (λ/d)² k s/(k − s)

    for any set of s stragglers, the worst included [7]. λ is near 2√(d − 1) for most
    graphs (Friedman 2008), close to the least there is.

    The plan's own weights, for a fixed decoder, are 1/(d(1 − p_i)): unbiased when every
    p_i < 1.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order. They play
            no part in the placement; a worker with p_i = 1 has weight 0.
        num_partitions: n ≥ 1, in k blocks of consecutive partitions, as equal as can
            be; with n < k some are empty.
        replication: d, from 2 to k − 1, such that kd is even. The graph of d = 2 is one
            cycle, no expander, and k must be odd.
        key: a `jax.random` key.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = expander(
        ...     [0.1] * 4, num_partitions=4, replication=3, key=jax.random.key(0)
        ... )
        >>> plan.encoding_matrix().tolist()  # the one such graph: every other block
        [[0.0, 1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0], \
[1.0, 1.0, 1.0, 0.0]]
    """
    p = _checks.probabilities(p)
    k, d = p.size, _checks.count("replication", replication)
    rng = generator(key)
    accepted = [
        degree
        for degree in range(2, k)
        if k * degree % 2 == 0 and (degree > 2 or k % 2 == 1)
    ]
    if d not in accepted:
        raise ValueError(
            f"replication must be the degree of a connected regular graph with k = {k} "
            f"vertices that is not bipartite: {_listed(accepted)}; got {d}"
        )
    pairs = _connected(rng, k, d)
    return _of_graph(
        p,
        num_partitions,
        worker=pairs.T.ravel(),
        block=pairs[:, ::-1].T.ravel(),
        coefficient=np.ones(pairs.size),
        degree=d,
        name="expander",
    )


def margulis(p: ArrayLike, *, num_partitions: int) -> CodingPlan:
    """Expander code [7] on the explicit graph of Margulis: load 8 at most, no key.

    Workers are the points (x, y) of Z_m × Z_m, k = m², each next to (x ± 2y, y),
    (x ± (2y + 1), y), (x, y ± 2x) and (x, y ± (2x + 1)), where an edge that comes twice
    counts twice: a_ij is the number of edges. Its λ is at most 5√2 of d = 8 (Gabber and
    Galil 1981), for any m. A random graph of the same degree (`expander`) is near
    2√7 < 5√2, almost surely.

    The plan's own weights, for a fixed decoder, are 1/(8(1 − p_i)): unbiased when every
    p_i < 1.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; k is a square. They
            play no part in the placement; a worker with p_i = 1 has weight 0.
        num_partitions: n ≥ 1, in k blocks of consecutive partitions, as equal as can
            be; with n < k some are empty.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = margulis([0.1] * 9, num_partitions=9)
        >>> plan.encoding_matrix().sum(axis=0).tolist()
        [8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]
        >>> plan.load < 8  # edges that come twice are held once
        True
    """
    p = _checks.probabilities(p)
    k = p.size
    m = round(k**0.5)
    if m * m != k:
        low = int(k**0.5)
        raise ValueError(
            f"p must be of k = m² workers, such as {low**2} or {(low + 1) ** 2}, got "
            f"{k}"
        )
    x, y = np.divmod(np.arange(k), m)
    neighbours = []
    for sign in (1, -1):
        for shift in (0, 1):
            neighbours.append((x + sign * (2 * y + shift)) % m * m + y)
            neighbours.append(x * m + (y + sign * (2 * x + shift)) % m)
    pair, count = np.unique(
        np.tile(np.arange(k), 8) * k + np.concatenate(neighbours), return_counts=True
    )
    return _of_graph(
        p,
        num_partitions,
        worker=pair // k,
        block=pair % k,
        coefficient=count.astype(np.float64),
        degree=8,
        name="margulis",
    )


def _of_graph(
    p: Float[np.ndarray, " k"],
    num_partitions: int,
    *,
    worker: Int[np.ndarray, " E"],
    block: Int[np.ndarray, " E"],
    coefficient: Float[np.ndarray, " E"],
    degree: int,
    name: str,
) -> CodingPlan:
    n, k = _checks.count("num_partitions", num_partitions), p.size
    worker, partition, edge = in_blocks(
        worker=worker, block=block, num_blocks=k, num_partitions=n
    )
    return CodingPlan.from_edges(
        worker,
        partition,
        coefficient[edge],
        p=p,
        weights=np.divide(1 / degree, 1 - p, out=np.zeros(k), where=p < 1),
        num_partitions=n,
        name=name,
    )


def _connected(rng: np.random.Generator, k: int, d: int) -> Int[np.ndarray, "E 2"]:
    """Draws a d-regular graph that is connected and not bipartite."""
    if d == 2:  # of cycles only one is connected, and few draws have one
        order = rng.permutation(k)
        return np.stack([order, np.roll(order, 1)], axis=1)
    for _ in range(_ATTEMPTS):
        pairs = nearly_regular_graph(rng, k, k * d // 2)
        u, v = pairs.T
        # Its double cover is connected if and only if the graph is so and has an odd
        # cycle.
        edges = coo_array(
            (np.ones(2 * u.size), (np.append(u, v), np.append(v, u) + k)),
            shape=(2 * k, 2 * k),
        )
        if connected_components(edges, directed=False, return_labels=False) == 1:
            return pairs
    raise RuntimeError(f"found no connected {d}-regular graph with {k} vertices")


def _listed(values: list[int]) -> str:
    """The first few."""
    if not values:
        return "there is none"
    return ", ".join(map(str, values[:8])) + (", …" if len(values) > 8 else "")
