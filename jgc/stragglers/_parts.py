"""Workers that send their work part by part: when each part comes [ours]."""

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers._model import LatencyModel, Outcomes, State, check_latencies

# As many as decoders are designed for in about a second.
_MOST_OUTCOMES = 1 << 14


def in_parts(
    latencies: LatencyModel,
    *,
    worker: ArrayLike,
    share: ArrayLike,
    work_fraction: float,
) -> LatencyModel:
    """When each of E messages comes, of workers that send several one after another.

    As in `with_load`, a worker that takes T for an even share 1/k of the data has been
    through the share x after T (1 − w + w k x): all of its parts are early or late
    together with T. For a recorded trace take `LoadedTrace.seconds(share, worker=…)`.

    Args:
        latencies: T of independent workers (k,), of an even share: of `exponential` or
            `shifted_exponential`.
        worker: who sends each message (E,), of `jgc.codes.split`.
        share: of the data, that the worker has been through by then (E,), above 0.
        work_fraction: w in [0, 1], the part of T that is work; with 0 all messages of a
            worker come at once.

    Raises:
        ValueError: an argument out of its range; in `covariance` and `outcomes`,
            workers that are not independent.

    Example:
        >>> import jgc
        >>> parts = jgc.codes.split(jgc.codes.uncoded([0.1, 0.1], num_partitions=4))
        >>> model = in_parts(
        ...     jgc.stragglers.exponential([1.0, 1.0]),
        ...     worker=parts.worker,
        ...     share=parts.share,
        ...     work_fraction=1.0,
        ... )
        >>> model.survival(1.0).round(4).tolist()  # T/2 and T against 1: e^−2, e^−1
        [0.1353, 0.3679, 0.1353, 0.3679]
    """
    check_latencies(latencies)
    k = latencies.survival(1.0).size
    own = _checks.integers("worker", worker, size=np.size(worker), below=k)
    shares = _checks.one_or_each("share", share, own.size, "message")
    _checks.within("share", shares, 0, np.inf)
    w = _checks.scalar("work_fraction", work_fraction, 0, 1)
    factor = 1 - w + w * k * shares
    if (factor == 0).any():
        raise ValueError("share must be above 0 where all of the time is work")

    def sample(state: State, key: PRNGKeyArray) -> tuple[Float[Array, " E"], State]:
        seconds, state = latencies.sample(state, key)
        return seconds[jnp.asarray(own)] * jnp.asarray(factor, seconds.dtype), state

    def survival(deadline: float) -> Float[np.ndarray, " E"]:
        late = np.empty(own.size)
        for each in np.unique(factor):
            at = factor == each
            late[at] = latencies.survival(deadline / each)[own[at]]
        return late

    # Messages are late as T is at these parts of the deadline.
    check = functools.partial(_check_independent, latencies, np.unique(factor))
    return LatencyModel(
        latencies.init,
        sample,
        survival,
        functools.partial(_covariance, check, own, survival),
        memoryless=latencies.memoryless,
        outcomes=functools.partial(_outcomes, check, own, survival),
    )


def _covariance(
    check: Callable[[float], None],
    worker: Int[np.ndarray, " E"],
    survival: Callable[[float], Float[np.ndarray, " E"]],
    deadline: float,
) -> Float[np.ndarray, "E E"]:
    check(deadline)
    answers = 1 - survival(deadline)
    # Of two messages of a worker, the one that comes later brings the other.
    both = np.minimum.outer(answers, answers) - np.outer(answers, answers)
    return np.where(worker[:, None] == worker, both, 0.0)


def _outcomes(
    check: Callable[[float], None],
    worker: Int[np.ndarray, " E"],
    survival: Callable[[float], Float[np.ndarray, " E"]],
    deadline: float,
) -> Outcomes | None:
    """For each worker, up to which of its messages it comes; all combinations."""
    check(deadline)
    late = survival(deadline)
    masks, probability = np.zeros((1, worker.size), bool), np.ones(1)
    for i in np.unique(worker):
        own = np.flatnonzero(worker == i)
        levels, level = np.unique(late[own], return_inverse=True)
        chance = np.diff(np.concatenate([[0.0], levels, [1.0]]))
        possible = np.flatnonzero(chance > 0)  # m of them: the m surest levels come
        if masks.shape[0] * possible.size > _MOST_OUTCOMES:
            return None
        came = level.ravel() < possible[:, None]
        before = masks.shape[0]
        masks = np.repeat(masks, possible.size, axis=0)
        masks[:, own] = np.tile(came, (before, 1))
        probability = np.outer(probability, chance[possible]).ravel()
    return Outcomes(masks, probability)


def _check_independent(
    latencies: LatencyModel, factors: Float[np.ndarray, " levels"], deadline: float
) -> None:
    for factor in factors:
        together = latencies.covariance(deadline / factor)
        if np.abs(together - np.diag(np.diag(together))).max() > 0:
            raise ValueError(
                "latencies must be of independent workers; of a recorded trace take "
                "LoadedTrace.seconds(share, worker=worker)"
            )
