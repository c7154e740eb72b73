"""SGC, stochastic gradient coding [12]."""

import jax
import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes._placement_report import overlap_counts
from jgc.codes._randomness import generator

# Where overlaps cost little to count, the best of this many draws.
_DRAWS = 8
_SMALL = 100_000  # (worker, partition, partition) triples

# Switches per edge that make a placement random, and rounds to find them in.
_SWITCHES = 3
_ROUNDS = 24


def stochastic(
    p: ArrayLike, *, num_partitions: int, key: jax.Array, replication: ArrayLike
) -> CodingPlan:
    """SGC [12]: partition j on d_j random workers, a_ij = 1/(d_j (1 − p_i)), w = 1.

    Unbiased for any p (the paper's heterogeneous form), at a load that is free to
    choose; but all holders of a partition count alike, so that workers with p_i near 1
    send huge messages and dominate the error. [12] asks for pairwise balance:
    partitions j and l on about d_j d_l/k common workers. The placement is random, with
    worker loads that differ by at most 1 and, for small k and n, the least squared
    overlaps of a few draws; `placement_report` says what it achieved.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order. Workers
            with p_i = 1 hold nothing.
        num_partitions: n ≥ 1.
        key: a `jax.random` key.
        replication: d_j, an integer for all partitions or (n,), each from 1 to the
            number of workers with p_i < 1.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> plan = stochastic(
        ...     [0.2, 0.5, 0.5], num_partitions=3, key=jax.random.key(0), replication=2
        ... )
        >>> held = plan.alpha() > 0
        >>> held.sum(0).tolist(), plan.alpha()[held].round(2).tolist()
        ([2, 2, 2], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5])
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    live = np.flatnonzero(p < 1)
    d = _replication(replication, n, live.size)
    rng = generator(key)
    partition = np.repeat(np.arange(n), d)
    pair_count = d.sum() * (1 + d.sum() // live.size)
    draws = _DRAWS if pair_count <= _SMALL else 1
    candidates = [_deal(rng, d, live.size) for _ in range(draws)]
    if d.max() ** 2 > live.size:  # else no common worker is as balanced as can be
        candidates = [_switched(rng, dealt, partition, n) for dealt in candidates]
    if draws > 1:
        candidates.sort(key=lambda worker: _squared_overlaps(worker, partition))
    worker = live[candidates[0]]
    return CodingPlan.from_edges(
        worker,
        partition,
        1 / (d[partition] * (1 - p[worker])),
        p=p,
        weights=np.ones(p.size),
        num_partitions=n,
        name="stochastic",
    )


def _deal(
    rng: np.random.Generator, d: Int[np.ndarray, " n"], m: int
) -> Int[np.ndarray, " E"]:
    """Deals m shuffled cards, again and again: d_j different ones to each j in turn."""
    ends = np.cumsum(d)
    rounds = -(-int(ends[-1]) // m)
    # A hand that one round leaves unfinished: h cards of it are dealt, the next round
    # begins with what it lacks, from the cards that it does not hold yet.
    boundary = m * np.arange(1, rounds)
    hand = np.searchsorted(ends, boundary, side="right")
    held = boundary - (ends[hand] - d[hand])
    cards = rng.permuted(np.tile(np.arange(m), (rounds, 1)), axis=1)
    for r in np.flatnonzero(held > 0):
        barred = np.isin(cards[r + 1], cards[r, m - held[r] :])
        lacking = d[hand[r]] - held[r]
        first = np.flatnonzero(~barred)[:lacking]
        rest = np.delete(cards[r + 1], first)
        cards[r + 1] = np.concatenate([cards[r + 1, first], rest])
    return cards.ravel()[: ends[-1]]


def _switched(
    rng: np.random.Generator,
    worker: Int[np.ndarray, " E"],
    partition: Int[np.ndarray, " E"],
    n: int,
) -> Int[np.ndarray, " E"]:
    """Two edges trade workers, many times over: random, with loads as they were.

    A deal alone never gives partitions of one round a common worker.
    """
    half = worker.size // 2
    accepted = 0
    for _ in range(_ROUNDS):
        order = rng.permutation(worker.size)[: 2 * half]
        new = worker.copy()
        new[order] = worker[np.concatenate([order[half:], order[:half]])]
        code = new * n + partition
        # An edge that exists already, or that two switches would make, is refused.
        taken = np.isin(code, worker * n + partition)
        by_code = np.argsort(code, kind="stable")
        taken[by_code[1:]] |= np.diff(code[by_code]) == 0
        refused = taken[order[:half]] | taken[order[half:]]
        refused = order[np.concatenate([refused, refused])]
        new[refused] = worker[refused]
        accepted += 2 * half - refused.size
        worker = new
        if accepted >= _SWITCHES * worker.size:
            break
    return worker


def _squared_overlaps(worker: np.ndarray, partition: np.ndarray) -> float:
    return float((overlap_counts(worker, partition).data.astype(float) ** 2).sum())


def _replication(value: ArrayLike, n: int, num_live: int) -> Int[np.ndarray, " n"]:
    d = _checks.one_or_each("replication", value, n, "partition")
    if (d != np.rint(d)).any() or (d < 1).any() or (d > num_live).any():
        raise ValueError(
            f"replication must be integers from 1 to {num_live}, the number of workers "
            f"with p_i < 1, got {value!r}"
        )
    return d.astype(np.int64)
