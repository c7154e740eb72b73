"""Workers that straggle independently over workers and iterations."""

import functools

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers._model import (
    State,
    StragglerModel,
    independent_covariance,
    no_autocorrelation,
)


def bernoulli(p: ArrayLike) -> StragglerModel:
    """Worker i answers in time with probability 1 − p_i.

    Args:
        p: straggler probabilities (k,), each in [0, 1].

    Raises:
        ValueError: an entry outside [0, 1].

    Example:
        >>> from jgc.stragglers import simulate
        >>> answered = simulate(bernoulli([0.1, 0.5]), jax.random.key(0), 1000)
        >>> (~answered).mean(0).round(1).tolist()
        [0.1, 0.5]
    """
    p = _checks.probabilities(p, some_answer=False)
    answers = 1 - p

    def init(key: PRNGKeyArray) -> State:
        del key
        return ()

    def sample(state: State, key: PRNGKeyArray) -> tuple[Bool[Array, " k"], State]:
        return jax.random.bernoulli(key, answers), state

    return StragglerModel(
        init,
        sample,
        probabilities=p.copy,
        covariance=functools.partial(independent_covariance, p),
        autocorrelation=functools.partial(no_autocorrelation, p),
    )


def deadline_probabilities(
    psi: ArrayLike, *, deadline: float
) -> Float[np.ndarray, " k"]:
    """p_i = e^{−ψ_i (τ − 1)} (23): exponential latencies beyond a time of 1.

    Args:
        psi: ψ_i (k,), the workers' rates, positive; in the paper's experiments drawn
            from U(0.1, 2).
        deadline: τ ≥ 1, in units of the time that no worker can beat.

    Raises:
        ValueError: a ψ_i that is not positive, or a deadline below 1.

    Example:
        >>> deadline_probabilities([0.5, 2.0], deadline=2.0).round(4).tolist()  # e^−ψ
        [0.6065, 0.1353]
    """
    rates = _checks.vector("psi", psi)
    if (rates <= 0).any():
        at = int(np.flatnonzero(rates <= 0)[0])
        raise ValueError(f"psi must be positive, got psi[{at}] = {rates[at]}")
    return np.exp(-rates * (_checks.scalar("deadline", deadline, low=1.0) - 1))
