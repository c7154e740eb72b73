"""Messages of one partition each, so that work of a late worker is not lost [ours]."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan


class Split(NamedTuple):
    """A plan whose workers send each partition's part of their message when it is done.

    Attributes:
        plan: of E workers, one for each message a_ij g_j. Those of one worker lie
            together, in the order in which it goes through its list.
        worker: whose message it is (E,), ascending.
        share: of the data set, that the worker has been through by then (E,).
    """

    plan: CodingPlan
    worker: Int[np.ndarray, " E"]
    share: Float[np.ndarray, " E"]


def split(plan: CodingPlan, *, p: ArrayLike | None = None) -> Split:
    """The plan with one message for each edge, for workers that are cut off [ours].

    A worker that is late with f_i = Σ_j a_ij g_j has often finished some of it. Here it
    sends a_ij g_j as soon as it has it, so that a deadline cuts its list off instead of
    dropping it; all of them add up to f_i. What has come is a finer mask, of E entries:
    decoders, errors, rules and training take it as that of E workers, whose answers
    depend on one another.

    Whatever the master made of f_i it can make of these messages, so that
    `decoders.best_unbiased` of the law of the finer mask is never worse than any
    unbiased decoder of whole messages: the latter's weights are among those that it
    chooses from. The price is b_i messages for one.

    Holders of the same partition come to it at different times: in turn, each takes
    what the fewest have taken so far, so that workers of one group begin at different
    ends of their common list.

    Args:
        plan: the code, on the host; any.
        p: how often each message is late (E,), in [0, 1]. The fixed weights are scaled
            so that they mean the same, w_i (1 − p_i)/(1 − p). None: as late as the
            whole worker, with the plan's own weights.

    Raises:
        ValueError: p is no such vector, or a batch of plans.

    Example:
        >>> import jgc
        >>> pair = jgc.codes.fractional_repetition(
        ...     [0.5, 0.5], num_partitions=2, replication=2
        ... )
        >>> parts = split(pair)
        >>> parts.worker.tolist(), parts.plan.edge_partition.tolist()
        ([0, 0, 1, 1], [0, 1, 1, 0])
        >>> parts.share.tolist()
        [0.5, 1.0, 0.5, 1.0]
    """
    order = _in_turns(plan)
    worker = np.asarray(plan.edge_worker)[order]
    first = np.searchsorted(worker, worker)  # of its worker's messages
    whole = np.asarray(plan.straggler_probabilities, np.float64)[worker]
    weights = np.asarray(plan.weights, np.float64)[worker]
    late = whole
    if p is not None:
        late = _checks.vector("p", p)
        if late.size != worker.size:
            raise ValueError(
                f"p must have an entry for each of the {worker.size} messages, got "
                f"{late.size}"
            )
        _checks.within("p", late, 0, 1)
        ratio = np.divide(1 - whole, 1 - late, out=np.zeros(late.size), where=late < 1)
        weights = weights * ratio
    return Split(
        plan=CodingPlan.from_edges(
            np.arange(worker.size),
            np.asarray(plan.edge_partition)[order],
            np.asarray(plan.edge_coefficient)[order],
            p=late,
            num_partitions=plan.num_partitions,
            weights=weights,
            name=f"{plan.name}, split",
        ),
        worker=worker,
        share=(np.arange(worker.size) - first + 1) / plan.num_partitions,
    )


def _in_turns(plan: CodingPlan) -> Int[np.ndarray, " E"]:
    """Edges by worker; within, each worker takes in turn what the fewest have taken."""
    sizes = plan.batch_sizes  # refuses a batch of plans
    worker, partition = np.asarray(plan.edge_worker), np.asarray(plan.edge_partition)
    lists = np.split(np.arange(worker.size), np.cumsum(sizes)[:-1])
    taken = np.zeros(plan.num_partitions, np.int64)
    turns = np.empty(worker.size, np.int64)
    for turn in range(int(sizes.max(initial=0))):
        for i in np.flatnonzero(sizes > turn):
            left = lists[i]
            at = int(taken[partition[left]].argmin())
            taken[partition[left[at]]] += 1
            turns[left[at]] = turn
            # Among equals the next one on the list, round and round.
            lists[i] = np.roll(np.delete(left, at), -at)
    return np.lexsort((turns, worker))
