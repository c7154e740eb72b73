"""Latencies that know how much data a worker has: recorded once, asked of any load.

A worker given the share x of the data takes T + slope · (x − recorded load) seconds,
where T is what was recorded. Rounds are kept whole, so that workers which are slow
together stay so.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers._latency import positive_deadline, shifted_exponential
from jgc.stragglers._model import LatencyModel
from jgc.stragglers._trace import Trace


class LoadedTrace(NamedTuple):
    """A trace, and what more or less data would have made of it.

    Attributes:
        recorded: the trace.
        load: the share of the data that each worker had when it was recorded (k,).
        slope: seconds for the whole data set, in each round at each worker (T, k).
    """

    recorded: Trace
    load: Float[np.ndarray, " k"]
    slope: Float[np.ndarray, "T k"]

    def seconds(
        self, load: ArrayLike, *, worker: ArrayLike | None = None
    ) -> Float[np.ndarray, "T m"]:
        """What the workers would have taken with these shares of the data.

        Args:
            load: shares of the data set, one or (m,), each at least 0.
            worker: whose seconds (m,), such as those of the messages of
                `jgc.codes.split`; None: each worker's, m = k.

        Raises:
            ValueError: not such shares, or not such workers.
        """
        k = self.recorded.num_workers
        if worker is None:
            own = np.arange(k)
        else:
            own = _checks.integers("worker", worker, size=np.size(worker), below=k)
        share = _checks.one_or_each("load", load, own.size, "worker")
        _checks.within("load", share, 0, np.inf)
        seconds = self.recorded.latencies.astype(np.float64)[:, own]
        seconds = seconds + self.slope[:, own] * (share - self.load[own])
        return np.maximum(seconds, 0.0)

    def probabilities(
        self, load: ArrayLike, deadline: float, *, worker: ArrayLike | None = None
    ) -> Float[np.ndarray, " m"]:
        """p_i(load, τ): how often worker i misses the deadline under its load.

        Counted, with half a round of each kind beside what was seen, so that no p is
        0 or 1. `worker` as in `seconds`.
        """
        late = self.seconds(load, worker=worker) > positive_deadline(deadline)
        return (late.sum(0) + 0.5) / (late.shape[0] + 1)

    def shifted_exponential(self, load: ArrayLike) -> LatencyModel:
        """The law of [18, 19] fitted to the trace, under these shares of the data.

        The shift moves with the load and the rate does not: work is certain, waiting is
        not. Workers are independent in it, as recorded ones often are not.
        """
        from jgc.stragglers.estimation import fit_shifted_exponential

        fit = fit_shifted_exponential(self.recorded.latencies)
        k = self.recorded.num_workers
        share = _checks.one_or_each("load", load, k, "worker")
        slope = np.median(self.slope, axis=0)
        shift = np.maximum(fit.shift + slope * (share - self.load), 0.0)
        return shifted_exponential(np.minimum(fit.rate, 1e12), shift=shift)

    def rounds(self, start: int, stop: int) -> "LoadedTrace":
        """Rounds `start` up to `stop`."""
        return LoadedTrace(
            self.recorded.rounds(start, stop), self.load, self.slope[start:stop]
        )


def with_load(
    recorded: Trace,
    *,
    work_fraction: float | None = None,
    slope: ArrayLike | None = None,
    recorded_load: ArrayLike | None = None,
) -> LoadedTrace:
    """A trace whose seconds are known to grow with the load.

    Args:
        recorded: the trace.
        work_fraction: w in [0, 1], the part of the recorded seconds that is work at an
            even share 1/k of the data. With the share x a worker takes
            T (1 − w + w k x).
        slope: seconds for the whole data set ≥ 0, one or (k,): T + slope (x − recorded
            load). Give this or `work_fraction`; nothing in a trace of one load tells.
        recorded_load: the share of the data that workers had in the trace, one or (k,);
            with `slope` only, and needed there.

    Raises:
        ValueError: neither or both of the two, or an argument out of its range.

    Example:
        >>> import jgc
        >>> recorded = jgc.stragglers.trace([[1.0, 2.0], [3.0, 4.0]])
        >>> loaded = with_load(recorded, work_fraction=0.5)  # T (0.5 + 0.5 · 2x)
        >>> loaded.seconds(0.5).tolist(), loaded.seconds(1.0).tolist()
        ([[1.0, 2.0], [3.0, 4.0]], [[1.5, 3.0], [4.5, 6.0]])
    """
    if not isinstance(recorded, Trace):
        raise ValueError(
            "trace must be of jgc.stragglers.load_trace or jgc.stragglers.trace, got "
            f"{type(recorded).__name__}"
        )
    rounds, k = recorded.latencies.shape
    if (work_fraction is None) == (slope is None):
        raise ValueError(
            "give one of work_fraction and slope (with recorded_load): how the seconds "
            "grow with the load cannot be told from a trace of one load; got "
            f"work_fraction = {work_fraction!r}, slope = {slope!r}"
        )
    if work_fraction is not None:
        if recorded_load is not None:
            raise ValueError(
                "recorded_load goes with slope; work_fraction is at an even share 1/k, "
                f"got recorded_load = {recorded_load!r}"
            )
        part = _checks.scalar("work_fraction", work_fraction, 0, 1)
        latencies = recorded.latencies.astype(np.float64)
        # An answer that never came has no work in it that less data would save.
        work = np.where(np.isfinite(latencies), part * latencies, 0.0)
        return LoadedTrace(recorded, np.full(k, 1 / k), k * work)
    if recorded_load is None:
        raise ValueError(
            "slope needs recorded_load, the share of the data that each worker had "
            "when the trace was recorded"
        )
    assert slope is not None
    per_load = _checks.one_or_each("slope", slope, k, "worker")
    _checks.within("slope", per_load, 0, np.inf)
    load = _checks.one_or_each("recorded_load", recorded_load, k, "worker")
    _checks.within("recorded_load", load, 0, 1)
    return LoadedTrace(recorded, load, np.broadcast_to(per_load, (rounds, k)))


def slope_of(
    recorded: Trace, load: float, other: Trace, other_load: float
) -> Float[np.ndarray, " k"]:
    """Seconds for the whole data set, from two traces at two loads.

    The difference of the workers' medians, drawn towards that of all workers by as much
    as their scatter over rounds warrants: a few rounds say little of one worker.

    Args:
        recorded: a trace.
        load: the share of the data that its workers had.
        other: another trace of the same workers.
        other_load: their share in that one.

    Raises:
        ValueError: equal loads, or traces of different workers.

    Example:
        >>> import jgc
        >>> half = jgc.stragglers.trace([[1.0, 2.0], [1.0, 2.0]])
        >>> whole = jgc.stragglers.trace([[2.0, 4.0], [2.0, 4.0]])
        >>> slope_of(half, 0.5, whole, 1.0).tolist()  # 1 and 2 more seconds per 0.5
        [2.0, 4.0]
    """
    low, high = (
        _checks.scalar(n, v, 0, 1)
        for n, v in (("load", load), ("other_load", other_load))
    )
    if low == high:
        raise ValueError(f"other_load must differ from load, got {low:g} for both")
    if recorded.num_workers != other.num_workers:
        raise ValueError(
            f"other must have the {recorded.num_workers} workers of the first trace, "
            f"got {other.num_workers}"
        )
    medians = [
        np.median(t.latencies.astype(np.float64), axis=0) for t in (recorded, other)
    ]
    each = (medians[1] - medians[0]) / (high - low)
    typical = float(np.median(each))
    noise = (
        sum(
            (np.pi / 2) * t.latencies.astype(np.float64).var(0).mean() / t.num_rounds
            for t in (recorded, other)
        )
        / (high - low) ** 2
    )
    spread = max(float(each.var()) - noise, 0.0)
    kept = spread / (spread + noise) if spread + noise > 0 else 0.0
    return np.maximum(typical + kept * (each - typical), 0.0)
