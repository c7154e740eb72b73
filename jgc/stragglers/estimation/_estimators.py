"""Estimators of p that learn as training runs: pure functions, for use under `jit`.

    estimator = estimation.forgetting(num_workers, memory=100)
    state = estimator.init()
    state = estimator.update(state, mask)     # each iteration
    p = estimator.probabilities(state)        # when it is wanted

p̂ is never exactly 0 or 1, whatever was seen: a code takes p_i = 0 as a promise and puts
all the data on the workers that make it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import AnyArray
from jgc.stragglers._latency import positive_deadline
from jgc.stragglers.estimation._prior import JEFFREYS, BetaPrior

State = Any


class Estimator(NamedTuple):
    """Straggler probabilities from one observation after another.

    Attributes:
        init: `init() -> state`, nothing seen.
        update: `update(state, observation) -> state`. The observation is an iteration's
            mask (k,), or its latencies (k,) where the estimator says so.
        probabilities: `probabilities(state) -> p̂` (k,), strictly between 0 and 1.
    """

    init: Callable[[], State]
    update: Callable[[State, AnyArray], State]
    probabilities: Callable[[State], Float[Array, " k"]]


class _Counts(NamedTuple):
    late: Int[Array, " k"]
    rounds: Int[Array, ""]


class _Window(NamedTuple):
    late: Int[Array, " k"]
    rounds: Int[Array, ""]
    recent: Bool[Array, "window k"]  # a ring; round t is in row t mod window


class _Discounted(NamedTuple):
    late: Float[Array, " k"]
    rounds: Float[Array, ""]


class _Latencies(NamedTuple):
    least: Float[Array, " k"]
    mean: Float[Array, " k"]  # of min(T, τ)
    answered: Int[Array, " k"]
    rounds: Int[Array, ""]


def counting(
    num_workers: int, *, window: int | None = None, prior: BetaPrior = JEFFREYS
) -> Estimator:
    """The share of late rounds (C.5), with a prior: p̂ = (a + late)/(a + b + rounds).

    Args:
        num_workers: k.
        window: only the last so many rounds count, kept in k·window bytes; None: all.
        prior: Beta(a, b); also p̂ before the first round. `fit_beta_prior` makes one.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> answered = [[True, False], [True, False], [True, True]]
        >>> estimate(counting(2), answered).round(3).tolist()  # 0.5/4, 2.5/4
        [0.125, 0.625]
    """
    k = _checks.count("num_workers", num_workers)
    prior = prior.checked()
    if window is None:
        return Estimator(
            lambda: _Counts(jnp.zeros(k, jnp.int32), jnp.zeros((), jnp.int32)),
            _count,
            partial(_posterior_mean, prior=prior),
        )
    size = _checks.count("window", window)

    def init() -> _Window:
        empty = jnp.zeros((size, k), bool)
        return _Window(jnp.zeros(k, jnp.int32), jnp.zeros((), jnp.int32), empty)

    def update(state: _Window, mask: Bool[AnyArray, " k"]) -> _Window:
        is_late = ~_observed(mask, k)
        row = state.rounds % size
        # Rows that no round has filled are false, and leave nothing behind.
        late = state.late + is_late.astype(jnp.int32) - state.recent[row]
        return _Window(late, state.rounds + 1, state.recent.at[row].set(is_late))

    def probabilities(state: _Window) -> Float[Array, " k"]:
        seen = jnp.minimum(state.rounds, size)
        return _posterior_mean(_Counts(state.late, seen), prior)

    return Estimator(init, update, probabilities)


def forgetting(
    num_workers: int, *, memory: float, prior: BetaPrior = JEFFREYS
) -> Estimator:
    """`counting` in which a round's weight shrinks by 1 − 1/memory each iteration.

    Follows workers that change, in two numbers a worker. Its counts are worth at most
    `memory` rounds, and the prior never fades.

    Args:
        num_workers: k.
        memory: the rounds that it remembers, > 1.
        prior: Beta(a, b).

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> answered = [[True, False], [True, False], [True, True]]
        >>> estimate(forgetting(2, memory=2), answered).round(3).tolist()
        [0.182, 0.455]
    """
    k = _checks.count("num_workers", num_workers)
    prior = prior.checked()
    if not _checks.scalar("memory", memory) > 1:
        raise ValueError(f"memory must be above 1 round, got {memory!r}")
    kept = 1 - 1 / float(memory)

    def init() -> _Discounted:
        return _Discounted(jnp.zeros(k), jnp.zeros(()))

    def update(state: _Discounted, mask: Bool[AnyArray, " k"]) -> _Discounted:
        late = kept * state.late + ~_observed(mask, k)
        return _Discounted(late, kept * state.rounds + 1)

    return Estimator(init, update, partial(_posterior_mean, prior=prior))


def censored_shifted_exponential(num_workers: int, *, deadline: float) -> Estimator:
    """`fit_shifted_exponential` at a deadline, one round at a time.

    It observes latencies in seconds (k,) instead of masks; beyond the deadline
    anything, NaN and infinity included, stands for "late". p̂ is bounded as in
    `ShiftedExponentialFit.probabilities`, and ½ before the first round.

    Args:
        num_workers: k.
        deadline: τ > 0 in seconds, where latencies are censored and p is wanted.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> seconds = [[1.0, 1.0], [2.0, np.inf], [3.0, 9.0]]
        >>> estimator = censored_shifted_exponential(2, deadline=3.0)
        >>> estimate(estimator, seconds).round(3).tolist()  # e^−2, e^−0.5
        [0.135, 0.607]
    """
    k = _checks.count("num_workers", num_workers)
    tau = positive_deadline(deadline)

    def init() -> _Latencies:
        zeros = jnp.zeros(k)
        none = jnp.zeros((), jnp.int32)
        return _Latencies(zeros + tau, zeros, jnp.zeros(k, jnp.int32), none)

    def update(state: _Latencies, latencies: Float[AnyArray, " k"]) -> _Latencies:
        is_answer = latencies <= tau
        seconds = jnp.where(is_answer, latencies, tau).astype(state.mean.dtype)
        rounds = state.rounds + 1
        return _Latencies(
            jnp.minimum(state.least, seconds),
            state.mean + (seconds - state.mean) / rounds,
            state.answered + is_answer,
            rounds,
        )

    def probabilities(state: _Latencies) -> Float[Array, " k"]:
        excess = state.rounds * (state.mean - state.least)
        # At its limits λ(τ − s) is 0 without answers, and infinite where all are equal.
        exponent = state.answered * (tau - state.least) / excess
        exponent = jnp.where(excess > 0, exponent, jnp.inf)
        survival = jnp.where(state.answered > 0, jnp.exp(-exponent), 1.0)
        least = 0.5 / (state.rounds + 1)
        return _inside(jnp.clip(survival, least, 1 - least))

    return Estimator(init, update, probabilities)


def estimate(estimator: Estimator, observations: ArrayLike) -> Float[np.ndarray, " k"]:
    """p̂ (k,) after a record of observations (T, k), in their order.

    Example:
        >>> late_at_first = [[False], [False], [True], [True]]
        >>> estimate(counting(1), late_at_first).round(3).tolist()
        [0.5]
        >>> estimate(counting(1, window=2), late_at_first).round(3).tolist()
        [0.167]
    """
    return np.asarray(_run(estimator, jnp.asarray(observations)), np.float64)


@partial(jax.jit, static_argnums=0)
def _run(estimator: Estimator, observations: Array) -> Float[Array, " k"]:
    def step(state: State, observation: Array) -> tuple[State, None]:
        return estimator.update(state, observation), None

    state, _ = jax.lax.scan(step, estimator.init(), observations)
    return estimator.probabilities(state)


def _observed(mask: Bool[AnyArray, " k"], num_workers: int) -> Bool[Array, " k"]:
    """The mask, or an error for what is none: latencies, or other workers."""
    mask = jnp.asarray(mask)
    if mask.shape != (num_workers,) or jnp.issubdtype(mask.dtype, jnp.inexact):
        raise ValueError(
            f"an observation must be a mask of shape ({num_workers},), who answered, "
            f"got {mask.dtype} of shape {mask.shape}"
        )
    return mask.astype(bool)


def _count(state: _Counts, mask: Bool[AnyArray, " k"]) -> _Counts:
    is_late = ~_observed(mask, state.late.size)
    return _Counts(state.late + is_late.astype(jnp.int32), state.rounds + 1)


def _posterior_mean(
    counts: _Counts | _Discounted, prior: BetaPrior
) -> Float[Array, " k"]:
    weight = prior.late + prior.in_time + counts.rounds
    return _inside((prior.late + counts.late) / weight)


def _inside(p: Float[Array, " k"]) -> Float[Array, " k"]:
    """Strictly between 0 and 1 where rounding says otherwise."""
    limits = jnp.finfo(p.dtype)
    return jnp.clip(p, float(limits.tiny), 1 - float(limits.epsneg))
