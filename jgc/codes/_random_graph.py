"""OD, the random graph code that is decoded per mask [11]."""

import jax
import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._randomness import generator

_ATTEMPTS = 1000


def random_graph(p: ArrayLike, *, num_partitions: int, key: jax.Array) -> CodingPlan:
    """OD [11]: workers are the edges of a random graph, partitions its vertices.

    Worker i sends the sum of its two partitions: load 2k/n, a_ij ∈ {0, 1}. Meant for
    optimal decoding (`jgc.decoders.graph` in linear time, or `least_squares`), where a
    surviving component with a cycle of odd length is recovered whole; with a fixed
    decoder it has nothing over `interval`. The graph is drawn near the uniform
    distribution over simple graphs whose degrees are 2k/n, rounded down or up.

    The plan's own weights, for a fixed decoder, are n/(2k(1 − p_i)), as in [11]:
    unbiased when 2k/n is an integer and every p_i < 1.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order. They play
            no part in the placement; a worker with p_i = 1 has weight 0.
        num_partitions: n ≥ 2, at most 2k and large enough that n(n − 1)/2 ≥ k.
        key: a `jax.random` key.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = random_graph([0.1] * 3, num_partitions=3, key=jax.random.key(0))
        >>> sent = plan.encoding_matrix()  # a triangle, in whatever order
        >>> sent.sum(1).tolist(), (sent.sum(0) / 2).tolist()  # the second is g
        ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0])
    """
    p = _checks.probabilities(p)
    n, k = _checks.count("num_partitions", num_partitions, minimum=2), p.size
    if n > 2 * k:
        raise ValueError(
            f"num_partitions must be at most 2k = {2 * k}: each of the {k} workers "
            f"holds two, got {n}"
        )
    if n * (n - 1) // 2 < k:
        least = int(np.ceil((1 + np.sqrt(1 + 8 * k)) / 2))
        raise ValueError(
            f"num_partitions must be at least {least}: {k} workers hold different "
            f"pairs of partitions, got {n}"
        )
    pairs = nearly_regular_graph(generator(key), n, k)
    return CodingPlan.from_edges(
        np.repeat(np.arange(k), 2),
        pairs.ravel(),
        np.ones(2 * k),
        p=p,
        weights=np.divide(n / (2 * k), 1 - p, out=np.zeros(k), where=p < 1),
        num_partitions=n,
        name="random_graph",
    )


def nearly_regular_graph(
    rng: np.random.Generator, n: int, k: int
) -> Int[np.ndarray, "k 2"]:
    """Draws k different edges on n vertices, whose degrees differ by 1 at most."""
    num_pairs = n * (n - 1) // 2
    if 2 * k <= num_pairs:
        codes = _sparse_graph(rng, n, k)
    else:  # what a sparse graph leaves
        left, right = np.triu_indices(n, 1)
        codes = np.setdiff1d(left * n + right, _sparse_graph(rng, n, num_pairs - k))
    codes = rng.permutation(codes)
    return np.stack([codes // n, codes % n], axis=1)


def _sparse_graph(rng: np.random.Generator, n: int, k: int) -> Int[np.ndarray, " k"]:
    """Edges u < v as u·n + v, by pairing stubs at random (Steger and Wormald 1999)."""
    degrees = np.full(n, 2 * k // n)
    for _ in range(_ATTEMPTS):
        extra = rng.choice(n, size=2 * k % n, replace=False)
        stubs = np.repeat(np.arange(n), degrees + np.isin(np.arange(n), extra))
        codes = np.zeros(0, np.int64)
        for _ in range(_ATTEMPTS):
            u, v = np.sort(rng.permutation(stubs).reshape(-1, 2), axis=1).T
            pair = u * n + v
            _, first = np.unique(pair, return_index=True)
            kept = np.zeros(pair.size, bool)
            kept[first] = True
            kept &= (u != v) & ~np.isin(pair, codes)
            codes = np.concatenate([codes, pair[kept]])
            stubs = np.concatenate([u[~kept], v[~kept]])
            if stubs.size == 0:
                return codes
            if not kept.any() and not _can_be_joined(stubs, codes, n):
                break
    raise RuntimeError(f"found no simple graph with {n} vertices and {k} edges")


def _can_be_joined(stubs: np.ndarray, codes: np.ndarray, n: int) -> bool:
    vertices = np.unique(stubs)
    left, right = np.triu_indices(vertices.size, 1)
    return not np.isin(vertices[left] * n + vertices[right], codes).all()
