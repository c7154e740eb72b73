"""Who holds what, spread over the data's order: each worker gets a sample of it all.

Partitions are often in an order that means something: by class, by date, by user. Dealt
out like cards rather than cut in runs, the data of one worker resembles that of all,
and one that is missed is missed less. It costs nothing, and no code does as much for
data sorted by class [ours].
"""

import numpy as np
from jaxtyping import Float, Int

from jgc._plan import CodingPlan
from jgc.stragglers import LoadedTrace


def group_of_each(
    order: Int[np.ndarray, " k"], num_groups: int
) -> Int[np.ndarray, " k"]:
    """Groups that each have fast and slow workers: dealt in the order of speed."""
    group = np.empty(order.size, np.int64)
    rank = np.arange(order.size)
    turn, place = rank // num_groups, rank % num_groups
    # There and back, so that no group has the slowest of every turn.
    group[order] = np.where(turn % 2 == 0, place, num_groups - 1 - place)
    return group


def grouped(
    p: Float[np.ndarray, " k"],
    group: Int[np.ndarray, " k"],
    *,
    num_partitions: int,
    name: str,
) -> CodingPlan:
    """Fractional repetition [5] with these groups, partition j on group j mod G."""
    n, num_groups = num_partitions, int(group.max()) + 1
    held = [np.arange(g, n, num_groups) for g in range(num_groups)]
    worker = np.repeat(np.arange(group.size), [held[g].size for g in group])
    partition = np.concatenate([held[g] for g in group])
    return CodingPlan.from_edges(
        worker,
        partition,
        np.ones(worker.size),
        p=p,
        weights=np.ones(group.size),
        num_partitions=n,
        name=name,
    )


def owners(counts: Int[np.ndarray, " k"]) -> Int[np.ndarray, " n"]:
    """The worker of each partition where worker i gets counts[i], evenly spread."""
    worker = np.repeat(np.arange(counts.size), counts)
    rank = np.arange(worker.size) - (np.cumsum(counts) - counts)[worker]
    place = (rank + 0.5) / counts[worker]
    # Workers of equal counts have equal places: the order among them is the workers'.
    return worker[np.argsort(place, kind="stable")]


def shared_out(
    p: Float[np.ndarray, " k"], counts: Int[np.ndarray, " k"], *, name: str
) -> CodingPlan:
    """No redundancy: worker i has counts[i] partitions of Σ counts, evenly spread."""
    owner = owners(counts)
    return CodingPlan.from_edges(
        owner,
        np.arange(owner.size),
        np.ones(owner.size),
        p=p,
        weights=np.ones(counts.size),
        num_partitions=owner.size,
        name=name,
    )


def typical_seconds(
    latencies: LoadedTrace,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """What each worker usually takes under the recorded load, and its slope.

    Means of logarithms against the round's median, drawn towards what all workers have
    in common by as much as their scatter over rounds warrants (James and Stein): of a
    few rounds little can be said of one worker.
    """
    seconds = latencies.recorded.latencies.astype(np.float64)
    seen = np.isfinite(seconds)
    largest = 10 * seconds[seen].max(initial=1.0)
    logs = np.log(np.maximum(np.where(seen, seconds, largest), 1e-9))
    middle = np.median(logs, axis=1, keepdims=True)
    relative = logs - middle
    rounds = relative.shape[0]
    each = relative.mean(0)
    noise = relative.var(0, ddof=1).mean() / rounds if rounds > 1 else np.inf
    spread = max(each.var() - noise, 0.0) if np.isfinite(noise) else 0.0
    kept = spread / (spread + noise) if spread > 0 else 0.0
    shrunk = each.mean() + kept * (each - each.mean())
    return np.exp(np.median(middle) + shrunk), np.median(latencies.slope, axis=0)


def by_speed(latencies: LoadedTrace) -> Int[np.ndarray, " k"]:
    """Workers, the usually fastest first."""
    return np.argsort(typical_seconds(latencies)[0], kind="stable")


def balanced_counts(
    latencies: LoadedTrace,
    *,
    num_partitions: int,
    left_out: int,
    capacity: float,
) -> Int[np.ndarray, " k"] | None:
    """Partitions of each worker such that all usually take equally long.

    Args:
        latencies: what they took.
        num_partitions: n.
        left_out: how many of the usually slowest get nothing.
        capacity: the largest share of one worker.

    Returns:
        The counts (k,), or None where the capacity is too little.
    """
    typical, slope = typical_seconds(latencies)
    k, n = typical.size, num_partitions
    most = int(np.floor(capacity * n * (1 + 1e-12)))
    works = np.ones(k, bool)
    works[np.argsort(typical, kind="stable")[k - left_out :]] = left_out == 0
    limit = np.where(works, most / n, 0.0)
    if limit.sum() < 1 - 1e-12:
        return None
    if (slope[works] > 0).all():
        # The time by which all are done: shares grow with it, up to the capacity.
        base = typical - slope * latencies.load

        def shares(time: float) -> Float[np.ndarray, " k"]:
            wanted = np.divide(time - base, slope, out=np.zeros(k), where=slope > 0)
            return np.clip(wanted, 0, limit)

        low, high = 0.0, float((base + slope).max())
        for _ in range(80):
            middle = (low + high) / 2
            low, high = (middle, high) if shares(middle).sum() < 1 else (low, middle)
        share = shares(high)
    else:
        share = works / works.sum()
    return _rounded(share, n, np.floor(limit * n * (1 + 1e-12)).astype(np.int64))


def _rounded(
    share: Float[np.ndarray, " k"], n: int, most: Int[np.ndarray, " k"]
) -> Int[np.ndarray, " k"] | None:
    """Whole numbers with sum n near the shares, by largest remainders."""
    wanted = share / share.sum() * n
    counts = np.minimum(np.floor(wanted).astype(np.int64), most)
    while (left := n - int(counts.sum())) > 0:
        open_ = counts < most
        if not open_.any():
            return None
        lack = np.where(open_, wanted - counts, -np.inf)
        counts[np.argsort(-lack, kind="stable")[: min(left, int(open_.sum()))]] += 1
    return counts
