"""Workers that straggle in bursts [ours]."""

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers._model import State, StragglerModel, independent_covariance


def markov(p: ArrayLike, *, mean_burst: ArrayLike) -> StragglerModel:
    """A chain of two states per worker: slow for `mean_burst` iterations on average.

    Not in the paper, whose stragglers are independent over iterations; recorded
    latencies are not. A burst has a geometric length of mean L_i; the time between
    bursts is geometric too, such that worker i straggles a share p_i of the time.
    Chains start in their stationary law. Workers are independent, so that one
    iteration looks as under `bernoulli(p)`, and the mask's correlation over t
    iterations is r_i^t with r_i = 1 − 1/(L_i (1 − p_i)). L_i = 1/(1 − p_i) is
    `bernoulli`; less makes stragglers recover sooner than by chance.

    Args:
        p: straggler probabilities (k,), each in [0, 1].
        mean_burst: L_i ≥ 1, in iterations; one number for all, or (k,). At least
            p_i/(1 − p_i) where p_i < 1: a shorter burst cannot fill a share p_i. Not
            read where p_i is 0 or 1, which never changes state.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> model = markov([0.2, 0.5], mean_burst=4.0)
        >>> model.autocorrelation(1).tolist()  # 1 − 1/(4 · 0.8), 1 − 1/(4 · 0.5)
        [0.6875, 0.5]
    """
    p = _checks.probabilities(p, some_answer=False)
    length = _checks.one_or_each("mean_burst", mean_burst, p.size, "worker")
    _checks.within("mean_burst", length, 1, np.inf)
    changes = (p > 0) & (p < 1)
    odds = np.divide(p, 1 - p, out=np.zeros(p.size), where=changes)
    too_short = changes & (length < odds * (1 - 1e-12))
    if too_short.any():
        at = int(np.flatnonzero(too_short)[0])
        raise ValueError(
            f"mean_burst must be at least p/(1 - p) = {odds[at]:g} for worker {at} "
            f"with p = {p[at]:g}, got {length[at]:g}"
        )
    # Chances to straggle next, after a straggle and after an answer.
    stays = np.where(changes, 1 - 1 / length, p)
    enters = np.where(changes, np.minimum(odds / length, 1), p)

    def init(key: PRNGKeyArray) -> State:
        return jax.random.bernoulli(key, 1 - p)

    def sample(state: State, key: PRNGKeyArray) -> tuple[Bool[Array, " k"], State]:
        answers = jax.numpy.where(state, 1 - enters, 1 - stays)
        mask = jax.random.bernoulli(key, answers)
        return mask, mask

    def covariance() -> Float[np.ndarray, "k k"]:
        return independent_covariance(p)

    def autocorrelation(lag: int) -> Float[np.ndarray, " k"]:
        return np.where(changes, (stays - enters) ** lag, 0.0)

    return StragglerModel(init, sample, p.copy, covariance, autocorrelation)
