"""The most groups with integer sums: the combinatorial half of Algorithm 1.

Only fractional parts matter. Some numbers may be set aside without loss, because for
any best grouping there is one as good that has them as a group: a number that is an
integer, and two numbers whose sum is.
"""

import numpy as np
from jaxtyping import Float, Int

# Subsets of this many numbers are searched whole: 2^20 take about a second.
_EXACT = 20

# Triples are looked for among this many numbers; the search is quadratic.
_TRIPLES = 2000


def integer_groups(
    values: Float[np.ndarray, " m"], tolerance: float
) -> list[Int[np.ndarray, " size"]]:
    """Disjoint groups of indices, the sum of each within `tolerance` of an integer.

    The most groups there can be, when no more than 20 numbers are left after integers
    and pairs. Beyond that a heuristic: the better of two groupings, with triples
    taken first or not, each completed by putting the numbers in a proportionally mixed
    order and cutting wherever the sum so far is an integer.

    Args:
        values: positive numbers whose sum is within rounding of an integer.
        tolerance: below 1/2.

    Returns:
        The groups, which cover all indices; as they come.
    """
    fraction = values - np.floor(values)
    single = np.minimum(fraction, 1 - fraction) <= tolerance
    groups = [np.array([i]) for i in np.flatnonzero(single)]
    pairs, left = _pairs(fraction, np.flatnonzero(~single), tolerance)
    groups += pairs
    if left.size:
        groups += _of_the_rest(values, left, tolerance)
    return _reconciled(groups, values, tolerance)


def _of_the_rest(
    values: Float[np.ndarray, " m"], left: Int[np.ndarray, " r"], tolerance: float
) -> list[np.ndarray]:
    if left.size <= _EXACT:
        return _best_chain(values, left, tolerance)
    mixed = _cuts_of_mixed_order(values, left, tolerance)
    triples, rest = _triples(values - np.floor(values), left, tolerance)
    if triples and rest.size > _EXACT:
        triples += _cuts_of_mixed_order(values, rest, tolerance)
    elif triples and rest.size:
        triples += _best_chain(values, rest, tolerance)
    return max(mixed, triples, key=len)


def _reconciled(
    groups: list[np.ndarray], values: Float[np.ndarray, " m"], tolerance: float
) -> list[np.ndarray]:
    """Merges groups if what they miss of integers adds up to more than the tolerance.

    Forty times 0.05 may be forty times 0 to the tolerance, but not 0 in all. Keeps as
    many as it can of those that miss least, and makes one group of the others.
    """
    missed = np.array([values[group].sum() for group in groups])
    missed -= np.rint(missed)
    order = np.argsort(np.abs(missed), kind="stable")
    missed = missed[order]
    kept = (np.abs(missed) <= tolerance) & (np.abs(np.cumsum(missed)) <= tolerance)
    num_kept = int(np.flatnonzero(kept)[-1]) + 1 if kept.any() else 0
    merged = [groups[g] for g in order[num_kept:]]
    return [groups[g] for g in order[:num_kept]] + (
        [np.concatenate(merged)] if merged else []
    )


def _distance_to_integer(value: np.ndarray) -> np.ndarray:
    return np.abs(value - np.rint(value))


def _pairs(
    fraction: Float[np.ndarray, " m"], index: Int[np.ndarray, " r"], tolerance: float
) -> tuple[list[np.ndarray], Int[np.ndarray, " s"]]:
    """Pairs whose fractions sum to 1, by two pointers, and the indices left over."""
    order = index[np.argsort(fraction[index], kind="stable")]
    sorted_fraction = fraction[order].tolist()
    used = np.zeros(order.size, bool)
    pairs = []
    low, high = 0, order.size - 1
    while low < high:
        excess = sorted_fraction[low] + sorted_fraction[high] - 1
        if abs(excess) <= tolerance:
            pairs.append(order[[low, high]])
            used[[low, high]] = True
            low, high = low + 1, high - 1
        elif excess < 0:
            low += 1
        else:
            high -= 1
    return pairs, np.sort(order[~used])


def _triples(
    fraction: Float[np.ndarray, " m"], index: Int[np.ndarray, " r"], tolerance: float
) -> tuple[list[np.ndarray], Int[np.ndarray, " s"]]:
    """Triples with integer sums, first found first taken, and the indices left over."""
    left = index[np.argsort(fraction[index], kind="stable")]
    triples: list[np.ndarray] = []
    if left.size > _TRIPLES:
        return triples, index
    start = 0
    while start < left.size - 2:
        first, rest = left[start], left[start + 1 :]
        values = fraction[rest]
        # For each second number, the third that brings the sum to 1 or to 2.
        wanted = (
            np.ceil(fraction[first] + values + tolerance) - fraction[first] - values
        )
        near = np.searchsorted(values, wanted - tolerance)
        found = near < rest.size
        near = np.where(found, near, 0)
        found &= np.abs(values[near] - wanted) <= tolerance
        found &= near != np.arange(rest.size)
        if found.any():
            second = int(np.argmax(found))
            triple = np.array([first, rest[second], rest[near[second]]])
            triples.append(triple)
            left = left[~np.isin(left, triple)]
        else:
            start += 1
    return triples, np.sort(left)


def _best_chain(
    values: Float[np.ndarray, " m"], index: Int[np.ndarray, " r"], tolerance: float
) -> list[np.ndarray]:
    """The most groups, by dynamic programming over subsets: O(2^r r).

    Groups one after another are an order of the numbers, cut where the sum so far is
    an integer; the most cuts of any order of a subset follow from those of the subsets
    with one number less.
    """
    size = index.size
    sums = np.zeros(1)
    for value in values[index] - np.floor(values[index]):
        sums = np.concatenate([sums, sums + value])
    # Half the tolerance at both cuts of a group.
    is_cut = _distance_to_integer(sums) <= tolerance / 2
    is_cut[-1] = True  # all of them are at least one group
    masks = np.arange(1 << size, dtype=np.int32)
    by_count = np.argsort(np.bitwise_count(masks), kind="stable").astype(np.int32)
    starts = np.searchsorted(np.bitwise_count(by_count), np.arange(size + 2))
    most = np.zeros(1 << size, np.int8)
    for count in range(1, size + 1):
        layer = by_count[starts[count] : starts[count + 1]]
        best = np.zeros(layer.size, np.int8)
        for bit in range(size):
            # Adding a number in place of taking one away never gains: those masks
            # have not been reached yet, and count 0.
            np.maximum(best, most[layer ^ (1 << bit)], out=best)
        most[layer] = best + is_cut[layer]
    groups: list[list[int]] = []
    mask = (1 << size) - 1
    while mask:
        if is_cut[mask]:
            groups.append([])
        bit = max(
            (b for b in range(size) if mask >> b & 1),
            key=lambda b: most[mask ^ (1 << b)],
        )
        groups[-1].append(index[bit])
        mask ^= 1 << bit
    return [np.array(group) for group in groups]


def _cuts_of_mixed_order(
    values: Float[np.ndarray, " m"], index: Int[np.ndarray, " r"], tolerance: float
) -> list[np.ndarray]:
    """Cuts where the sum so far is an integer, equal fractions spread evenly.

    Then any stretch holds the kinds of worker in proportion, and sums that only
    proportions make whole come up early.
    """
    fraction = values[index] - np.floor(values[index])
    order = np.argsort(fraction, kind="stable")
    ordered = fraction[order]
    kind = np.concatenate([[0], np.cumsum(np.diff(ordered) > tolerance)])
    size = np.bincount(kind)
    rank = np.arange(order.size) - (np.cumsum(size) - size)[kind]
    mixed = order[np.argsort((rank + 0.5) / size[kind], kind="stable")]
    sums = np.cumsum(fraction[mixed].astype(np.longdouble)).astype(np.float64)
    cuts = np.flatnonzero(_distance_to_integer(sums[:-1]) <= tolerance / 2) + 1
    return np.split(index[mixed], cuts)
