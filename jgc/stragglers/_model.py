"""The protocols of this package: pairs of pure functions, as optax has them.

A `StragglerModel` says who answers in time, a `LatencyModel` after how many seconds;
`at_deadline` makes the first of the second. What is known about a model in closed form
comes as functions too, so that a million workers cost nothing until someone asks.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

State = Any


class Outcomes(NamedTuple):
    """All that can happen in one iteration.

    Attributes:
        masks: who answers (T, k), a row an outcome.
        probability: of each (T,); they add up to 1.
    """

    masks: Bool[np.ndarray, "T k"]
    probability: Float[np.ndarray, " T"]


class StragglerModel(NamedTuple):
    """Who answers in time, iteration after iteration; usable under `scan` and `vmap`.

    Attributes:
        init: `init(key) -> state`.
        sample: `sample(state, key) -> (mask, state)`, where mask (k,) is true for the
            workers that answered.
        probabilities: `probabilities() -> p` (k,), how often each worker straggles in
            the long run; None where that is not known.
        covariance: `covariance() -> Cov(I)` (k, k) of one iteration's masks, diagonal
            for independent workers; None where it is not known.
        autocorrelation: `autocorrelation(lag) -> (k,)`, the correlation of a worker's
            mask with its own `lag` ≥ 1 iterations on; None where it is not known.
        outcomes: `outcomes() -> Outcomes` of one iteration; None, or returns None,
            where there are too many. Decoders designed for them are exactly unbiased.
    """

    init: Callable[[PRNGKeyArray], State]
    sample: Callable[[State, PRNGKeyArray], tuple[Bool[Array, " k"], State]]
    probabilities: Callable[[], Float[np.ndarray, " k"]] | None = None
    covariance: Callable[[], Float[np.ndarray, "k k"]] | None = None
    autocorrelation: Callable[[int], Float[np.ndarray, " k"]] | None = None
    outcomes: Callable[[], Outcomes | None] | None = None


class LatencyModel(NamedTuple):
    """How long each worker takes, in seconds or any one unit of time.

    Attributes:
        init: `init(key) -> state`.
        sample: `sample(state, key) -> (latencies, state)`, latencies (k,) > 0; infinite
            for a worker that never answers.
        survival: `survival(deadline) -> p` (k,), the chance of taking longer.
        covariance: `covariance(deadline) -> Cov(I)` (k, k) of who answers by then.
        memoryless: whether iterations are independent of one another.
        outcomes: `outcomes(deadline) -> Outcomes`, as of a `StragglerModel`.
    """

    init: Callable[[PRNGKeyArray], State]
    sample: Callable[[State, PRNGKeyArray], tuple[Float[Array, " k"], State]]
    survival: Callable[[float], Float[np.ndarray, " k"]]
    covariance: Callable[[float], Float[np.ndarray, "k k"]]
    memoryless: bool = True
    outcomes: Callable[[float], Outcomes | None] | None = None


def check_latencies(latencies: LatencyModel) -> None:
    """Refuses what is no latency model, such as a trace.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(latencies, LatencyModel):
        raise ValueError(
            "latencies must be a jgc.stragglers.LatencyModel, such as "
            f"exponential(rate) or replay(trace), got {type(latencies).__name__}"
        )


def independent_covariance(p: Float[np.ndarray, " k"]) -> Float[np.ndarray, "k k"]:
    """Cov(I) of independent workers: p_i (1 − p_i) on the diagonal."""
    return np.diag(p * (1 - p))


def no_autocorrelation(p: Float[np.ndarray, " k"], lag: int) -> np.ndarray:
    """Of independent iterations: 0."""
    del lag
    return np.zeros(p.size)
