"""Workers that join and leave for good: a new plan that moves few partitions [ours].

found = replan(plan, code, p, was=[0, 1, 3, -1])    # worker 2 left, one has joined
plan, data_to_send = found.plan, found.received
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike
from scipy.optimize import linear_sum_assignment

from jgc import _checks
from jgc._plan import CodingPlan

# Of workers and partitions by turns, each from an order of its own.
_STARTS = 16
# Re-designs, each for the workers in the order that the one before led to.
_MOST_DESIGNS = 4


class Replanned(NamedTuple):
    """A plan for other workers, and what it costs to get there.

    Copies are counted in partitions, or in what `partition_sizes` are.

    Attributes:
        plan: of the new workers, in their order.
        received: which partitions each has to be sent (k, n).
        moved: copies received, in all.
        in_order: copies that the code's plan moves if it is taken as it comes.
        least: no plan with as many copies of each partition moves fewer.
    """

    plan: CodingPlan
    received: Bool[np.ndarray, "k n"]
    moved: float
    in_order: float
    least: float


def replan(
    plan: CodingPlan,
    code: Callable[[Float[np.ndarray, " k"]], CodingPlan],
    p: ArrayLike,
    *,
    was: ArrayLike,
    partition_sizes: ArrayLike | None = None,
    relabel_partitions: bool = True,
) -> Replanned:
    """The code's plan for the workers there are now, with few copies moved.

    Which worker takes which place in a code, and which partition, is free: places are
    dealt out so that workers keep most of what they hold. For the workers alone that is
    an assignment problem, solved exactly; for both it is solved by turns from several
    orders, which need not find the least. A code that looks at p is designed again for
    the workers in their new places.

    For the host, between runs: the new plan's data must reach the workers.

    Args:
        plan: in use so far.
        code: from p (k,) to a plan of as many partitions, such as
            `functools.partial(jgc.codes.interval, num_partitions=n)`; one that draws
            must draw by a key of its own.
        p: straggler probabilities of the new workers (k,).
        was: for each of them its number in `plan`, −1 if it has joined (k,). Who is not
            named has left.
        partition_sizes: (n,), what a copy costs, such as its examples; None: 1 each.
        relabel_partitions: whether partitions too may change places. False where they
            differ to the code, as where it was designed with `jgc.gradients.gram`.

    Raises:
        ValueError: an argument out of its range, or a code that returns a plan of other
            workers or partitions.

    Example:
        >>> import jgc
        >>> def code(p):
        ...     return jgc.codes.fractional_repetition(
        ...         p, num_partitions=6, replication=2
        ...     )
        >>> found = replan(code([0.1] * 6), code, [0.1] * 4, was=[0, 1, 2, 3])
        >>> found.moved, found.in_order, found.least  # two left, the holders of 4 and 5
        (4.0, 6.0, 4.0)
        >>> found.received.astype(int).sum(axis=1).tolist()
        [1, 1, 1, 1]
    """
    n = plan.num_partitions
    probabilities = _checks.probabilities(p)
    k = probabilities.size
    origin = _origins(was, k, plan.num_workers)
    sizes = np.ones(n)
    if partition_sizes is not None:
        sizes = _checks.one_or_each("partition_sizes", partition_sizes, n, "partition")
        if (sizes < 0).any():
            raise ValueError(f"partition_sizes must be ≥ 0, got {partition_sizes!r}")
    old = np.zeros((k, n), bool)
    old[origin >= 0] = _held(plan)[origin[origin >= 0]]
    cost = np.where(old, 0.0, sizes)

    def design(order: Int[np.ndarray, " k"]) -> CodingPlan:
        made = code(probabilities[order])
        if not isinstance(made, CodingPlan) or (
            (made.num_workers, made.num_partitions) != (k, n)
        ):
            raise ValueError(
                f"code must return a plan of {k} workers and {n} partitions, got "
                f"{made!r}"
            )
        return made

    made = design(np.arange(k))
    in_order = _moved(cost, _held(made), np.arange(k), np.arange(n))
    moved, best = in_order, made
    for _ in range(_MOST_DESIGNS):
        before = _held(made)
        order, columns = _best_places(cost, before, relabel_partitions)
        made = design(order)
        held = _held(made)
        if relabel_partitions:  # of p in another order the code may be another
            columns = _best_columns(cost, held, order)
        now = _moved(cost, held, order, columns)
        if now < moved:
            moved, best = now, _relabelled(made, order, columns, probabilities)
        if (held == before).all():
            break
    held = _held(best)
    return Replanned(
        plan=best,
        received=held & ~old,
        moved=moved,
        in_order=in_order,
        least=_least(old, held, sizes, relabel_partitions),
    )


def _origins(was: ArrayLike, k: int, before: int) -> Int[np.ndarray, " k"]:
    origin = np.asarray(was)
    known = origin[origin >= 0] if origin.dtype.kind in "iu" else origin
    if (
        origin.shape != (k,)
        or origin.dtype.kind not in "iu"
        or (origin < -1).any()
        or (origin >= before).any()
        or np.unique(known).size < known.size
    ):
        raise ValueError(
            f"was must name, for each of the {k} workers of p, a different one of the "
            f"plan's 0 to {before - 1}, or −1; got {was!r}"
        )
    return origin


def _held(plan: CodingPlan) -> Bool[np.ndarray, "k n"]:
    held = np.zeros((plan.num_workers, plan.num_partitions), bool)
    held[np.asarray(plan.edge_worker), np.asarray(plan.edge_partition)] = True
    return held


def _moved(
    cost: Float[np.ndarray, "k n"],
    held: Bool[np.ndarray, "k n"],
    order: Int[np.ndarray, " k"],
    columns: Int[np.ndarray, " n"],
) -> float:
    """Where worker order[r] takes place r, and partition columns[s] place s."""
    return float((cost[order][:, columns] * held).sum())


def _best_order(
    cost: Float[np.ndarray, "k n"],
    held: Bool[np.ndarray, "k n"],
    columns: Int[np.ndarray, " n"],
) -> Int[np.ndarray, " k"]:
    place, worker = linear_sum_assignment(held @ cost[:, columns].T)
    return worker[np.argsort(place)]


def _best_columns(
    cost: Float[np.ndarray, "k n"],
    held: Bool[np.ndarray, "k n"],
    order: Int[np.ndarray, " k"],
) -> Int[np.ndarray, " n"]:
    place, partition = linear_sum_assignment(held.T @ cost[order])
    return partition[np.argsort(place)]


def _best_places(
    cost: Float[np.ndarray, "k n"],
    held: Bool[np.ndarray, "k n"],
    relabel_partitions: bool,
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " n"]]:
    """Workers alone: the best. Partitions too: the best of descents by turns."""
    k, n = held.shape
    columns = np.arange(n)
    best = _best_order(cost, held, columns), columns
    if not relabel_partitions:
        return best
    least = _moved(cost, held, *best)
    rng = np.random.default_rng(0)
    for start in range(_STARTS):
        order = best[0] if start == 0 else rng.permutation(k)
        before = np.inf
        while True:
            columns = _best_columns(cost, held, order)
            order = _best_order(cost, held, columns)
            now = _moved(cost, held, order, columns)
            if now >= before:
                break
            before = now
        if now < least:
            best, least = (order, columns), now
    return best


def _relabelled(
    plan: CodingPlan,
    order: Int[np.ndarray, " k"],
    columns: Int[np.ndarray, " n"],
    p: Float[np.ndarray, " k"],
) -> CodingPlan:
    weights = np.empty(plan.num_workers)
    weights[order] = plan.weights
    return CodingPlan.from_edges(
        order[np.asarray(plan.edge_worker)],
        columns[np.asarray(plan.edge_partition)],
        plan.edge_coefficient,
        p=p,
        num_partitions=plan.num_partitions,
        weights=weights,
        name=plan.name,
    )


def _least(
    old: Bool[np.ndarray, "k n"],
    new: Bool[np.ndarray, "k n"],
    sizes: Float[np.ndarray, " n"],
    relabel_partitions: bool,
) -> float:
    """By counting: a partition of c copies, of which s are there, needs c − s."""
    there, wanted = old.sum(axis=0), new.sum(axis=0)
    missing = np.maximum(wanted - there[:, None], 0) * sizes[:, None]
    if not relabel_partitions:
        return float(np.trace(missing))
    return float(missing[linear_sum_assignment(missing)].sum())
