"""Response times with a law of their own, and the deadline that makes stragglers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers._model import (
    LatencyModel,
    State,
    StragglerModel,
    check_latencies,
    independent_covariance,
    no_autocorrelation,
)


def exponential(rate: ArrayLike) -> LatencyModel:
    """T_i ~ Exp(λ_i) [17]: `shifted_exponential` without a shift.

    Args:
        rate: λ_i (k,), positive, per second.

    Raises:
        ValueError: a rate that is not positive.

    Example:
        >>> exponential([1.0, 2.0]).survival(1.0).round(4).tolist()  # e^−1, e^−2
        [0.3679, 0.1353]
    """
    return shifted_exponential(rate, shift=0.0)


def shifted_exponential(rate: ArrayLike, *, shift: ArrayLike) -> LatencyModel:
    """T_i = s_i + Exp(λ_i) [18, 19], independent over workers and iterations.

    With a deadline (38): p_i = e^{−λ_i (τ − s_i)}, and 1 for τ below s_i. The paper's
    (23) is s_i = 1 and λ_i = ψ_i.

    Args:
        rate: λ_i (k,), positive, per second.
        shift: s_i ≥ 0 in seconds, the time that worker i cannot beat; one number for
            all, or (k,).

    Raises:
        ValueError: a rate that is not positive, or a shift below 0.

    Example:
        >>> model = shifted_exponential([1.0, 2.0], shift=0.5)
        >>> model.survival(1.5).round(4).tolist(), model.survival(0.4).tolist()
        ([0.3679, 0.1353], [1.0, 1.0])
    """
    rates = _checks.vector("rate", rate)
    if (rates <= 0).any():
        at = int(np.flatnonzero(rates <= 0)[0])
        raise ValueError(f"rate must be positive, got rate[{at}] = {rates[at]}")
    shifts = _checks.one_or_each("shift", shift, rates.size, "worker")
    _checks.within("shift", shifts, 0, np.inf)

    def init(key: PRNGKeyArray) -> State:
        del key
        return ()

    def sample(state: State, key: PRNGKeyArray) -> tuple[Float[Array, " k"], State]:
        waiting = jax.random.exponential(key, (rates.size,))
        return jnp.asarray(shifts, waiting.dtype) + waiting / rates, state

    def survival(deadline: float) -> Float[np.ndarray, " k"]:
        return np.exp(-rates * np.maximum(deadline - shifts, 0))

    def covariance(deadline: float) -> Float[np.ndarray, "k k"]:
        return independent_covariance(survival(deadline))

    return LatencyModel(init, sample, survival, covariance)


def at_deadline(latencies: LatencyModel, deadline: float) -> StragglerModel:
    """Workers that take longer than the deadline are stragglers (38).

    Args:
        latencies: of `exponential`, `shifted_exponential`, `in_parts` or `replay`.
        deadline: τ_th > 0, in the unit of the latencies; an answer at τ_th itself is in
            time.

    Raises:
        ValueError: a deadline that is not a positive number, or no latency model.

    Example:
        >>> model = at_deadline(shifted_exponential([1.0, 2.0], shift=0.5), 1.5)
        >>> model.probabilities().round(4).tolist()  # e^−λ(τ − s)
        [0.3679, 0.1353]
    """
    deadline = positive_deadline(deadline)
    check_latencies(latencies)

    def sample(state: State, key: PRNGKeyArray) -> tuple[Bool[Array, " k"], State]:
        seconds, state = latencies.sample(state, key)
        return seconds <= deadline, state

    return StragglerModel(
        latencies.init,
        sample,
        probabilities=functools.partial(latencies.survival, deadline),
        covariance=functools.partial(latencies.covariance, deadline),
        autocorrelation=(
            functools.partial(no_autocorrelation, latencies.survival(deadline))
            if latencies.memoryless
            else None
        ),
        outcomes=(
            None
            if latencies.outcomes is None
            else functools.partial(latencies.outcomes, deadline)
        ),
    )


def positive_deadline(deadline: float, *, name: str = "deadline") -> float:
    """A deadline as a float above 0.

    Raises:
        ValueError: it is not.
    """
    deadline = _checks.scalar(name, deadline, low=0.0)
    if deadline == 0:
        raise ValueError(f"{name} must be above 0, got 0")
    return deadline
