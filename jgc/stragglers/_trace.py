"""Recorded latencies, and their replay."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, PRNGKeyArray
from numpy.typing import ArrayLike

from jgc.stragglers._latency import positive_deadline
from jgc.stragglers._model import LatencyModel, Outcomes, State

_LARGEST = float(np.finfo(np.float32).max)


class Trace(NamedTuple):
    """What k workers took in T rounds; made and checked by `trace` or `load_trace`.

    Attributes:
        latencies: in seconds, (T, k); infinite where no answer ever came. In float32,
            as devices compare them with deadlines, so that all agree on who was late.
        workers: their names.
    """

    latencies: Float32[np.ndarray, "T k"]
    workers: tuple[str, ...]

    @property
    def num_rounds(self) -> int:
        """T."""
        return self.latencies.shape[0]

    @property
    def num_workers(self) -> int:
        """k."""
        return self.latencies.shape[1]

    def answered(self, deadline: float) -> Bool[np.ndarray, "T k"]:
        """The masks I_i of every round: whether worker i took at most `deadline`."""
        return self.latencies <= float(deadline)

    def rounds(self, start: int, stop: int) -> "Trace":
        """Rounds `start` up to `stop`, as a trace."""
        return self._replace(latencies=self.latencies[start:stop])


def trace(
    latencies: ArrayLike,
    *,
    missing_is_late: bool = False,
    workers: tuple[str, ...] = (),
) -> Trace:
    """A trace from an array, checked.

    Args:
        latencies: in seconds, (T, k) with a row a round: T ≥ 1, k ≥ 2, none negative.
        missing_is_late: read NaN and infinity as "no answer ever came", which is late
            at every deadline. By default they are errors. A worker that never answers
            is a column of them: its p is 1 in the trace, and codes give it no data.
        workers: names; by default their numbers.

    Raises:
        ValueError: not such an array; names the round and the worker.

    Example:
        >>> recorded = trace([[1.0, 5.0], [2.0, np.nan]], missing_is_late=True)
        >>> recorded.latencies.tolist(), recorded.workers
        ([[1.0, 5.0], [2.0, inf]], ('0', '1'))
        >>> recorded.answered(2.0).tolist()
        [[True, False], [True, False]]
    """
    array = _numbers(latencies)
    if array.ndim != 2 or array.shape[0] == 0:
        raise ValueError(
            f"a trace must have a row for each of one or more rounds and a column for "
            f"each worker, got shape {array.shape}"
        )
    if array.shape[1] < 2:
        raise ValueError(
            f"a trace must have at least two workers, one a column, got "
            f"{array.shape[1]}: with one there is nothing to code over"
        )
    names = tuple(workers) or tuple(str(i) for i in range(array.shape[1]))
    if len(names) != array.shape[1]:
        raise ValueError(
            f"workers must be {array.shape[1]} names, one a column, got {len(names)}"
        )
    _refuse_where(array < 0, array, names, "latencies must not be negative")
    missing = ~np.isfinite(array)
    if not missing_is_late:
        _refuse_where(
            missing,
            array,
            names,
            "latencies must be finite; missing_is_late=True reads missing ones as "
            "answers that never came",
        )
    _refuse_where(
        ~missing & (array > _LARGEST), array, names, f"latencies must be ≤ {_LARGEST:g}"
    )
    return Trace(np.where(missing, np.inf, array).astype(np.float32), names)


def replay(recorded: Trace, *, random_start: bool = False) -> LatencyModel:
    """A trace played row by row; after its last row comes the first again.

    The state is the number of the next row, so that a resumed run goes on where it
    stopped. `survival` and `covariance` are those of a whole pass through the trace.

    Args:
        recorded: of `trace` or `load_trace`.
        random_start: start at a row drawn by `init`'s key instead of the first: for
            many runs over one trace, whose masks then are the trace's on average.

    Example:
        >>> model = replay(trace([[1.0, 5.0], [2.0, 2.0], [3.0, 1.0], [1.0, 4.0]]))
        >>> model.survival(2.0).tolist()  # late in 1 and in 2 of 4 rounds
        [0.25, 0.5]
    """
    latencies = recorded.latencies
    num_rounds = recorded.num_rounds

    def init(key: PRNGKeyArray) -> State:
        if random_start:
            return jax.random.randint(key, (), 0, num_rounds, jnp.int32)
        return jnp.zeros((), jnp.int32)

    def sample(state: State, key: PRNGKeyArray) -> tuple[Float[Array, " k"], State]:
        del key
        return jnp.asarray(latencies)[state], (state + 1) % num_rounds

    def survival(deadline: float) -> Float[np.ndarray, " k"]:
        return 1 - recorded.answered(positive_deadline(deadline)).mean(0)

    def covariance(deadline: float) -> Float[np.ndarray, "k k"]:
        answered = recorded.answered(positive_deadline(deadline)).astype(np.float64)
        return np.cov(answered, rowvar=False, bias=True)

    def outcomes(deadline: float) -> Outcomes:
        masks = recorded.answered(positive_deadline(deadline))
        return Outcomes(masks, np.full(num_rounds, 1 / num_rounds))

    return LatencyModel(
        init, sample, survival, covariance, memoryless=False, outcomes=outcomes
    )


def _numbers(latencies: ArrayLike) -> Float[np.ndarray, "..."]:
    try:
        array = np.asarray(latencies)
    except ValueError as error:
        raise ValueError(f"a trace's rows must have equal lengths: {error}") from None
    if array.dtype.kind not in "iuf":
        raise ValueError(f"latencies must be real numbers, got dtype {array.dtype}")
    return array.astype(np.float64)


def _refuse_where(
    bad: Bool[np.ndarray, "T k"],
    array: Float[np.ndarray, "T k"],
    names: tuple[str, ...],
    rule: str,
) -> None:
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{rule}; got {array[row, column]} in round {row} of worker "
            f"{names[column]}, one of {int(bad.sum())}"
        )
