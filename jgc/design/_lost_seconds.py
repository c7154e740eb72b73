"""Which workers cost time: always, or now and then, and how much of it."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jgc.stragglers import Trace

_LATE = 1.5  # times the round's median
_ALWAYS = 0.5  # of the rounds: from here on a worker is chronic


class LostSeconds(NamedTuple):
    """Of each worker.

    Attributes:
        late: the part of the rounds in which it took more than 1.5 medians (k,).
        is_chronic: it was late in half of the rounds or more (k,).
        seconds: that waiting for it cost, a round (k,): each moment beyond the median
            is shared among those who are still waited for.
    """

    late: Float[np.ndarray, " k"]
    is_chronic: Bool[np.ndarray, " k"]
    seconds: Float[np.ndarray, " k"]


def lost_seconds(recorded: Trace) -> LostSeconds:
    """Who is waited for beyond the median answer; answers that never came are capped.

    An answer that never came counts as the longest that did, or it would cost all.
    """
    latencies = recorded.latencies.astype(np.float64)
    finite = np.isfinite(latencies)
    longest = latencies[finite].max(initial=0.0)
    seconds = np.where(finite, latencies, longest)
    rounds, k = seconds.shape
    median = np.median(seconds, axis=1, keepdims=True)
    late = (seconds > _LATE * median).mean(0)
    order = np.argsort(seconds, axis=1)
    beyond = np.maximum(np.take_along_axis(seconds, order, 1) - median, 0)
    gaps = np.diff(beyond, axis=1, prepend=0.0)
    shares = np.cumsum(gaps / np.arange(k, 0, -1), axis=1)
    each = np.empty_like(shares)
    np.put_along_axis(each, order, shares, 1)
    return LostSeconds(late, late >= _ALWAYS, each.sum(0) / rounds)
