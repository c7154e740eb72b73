"""Workers that straggle together [ours]: a common factor, or shocks to groups.

Not in the paper, whose workers are independent. With them the residual error is
`jgc.residual.exact(plan, covariance=model.covariance())`.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers._model import State, StragglerModel, no_autocorrelation


def common_factor(p: ArrayLike, *, correlation: float) -> StragglerModel:
    """A one-factor Gaussian copula: all workers feel the load of the whole cluster.

    Worker i straggles when √r Z + √(1 − r) ε_i > Φ^{-1}(1 − p_i), where Z is common and
    ε_i its own, both standard normal and new each iteration.

    Args:
        p: straggler probabilities (k,), each in [0, 1].
        correlation: r in [0, 1], of the normal variables. The masks' own correlation
            is smaller, in `covariance()`: exact, by the bivariate normal law.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> model = common_factor([0.5, 0.5], correlation=0.5)
        >>> model.covariance().round(4).tolist()  # arcsin(r)/2π between the two
        [[0.25, 0.0833], [0.0833, 0.25]]
    """
    p = _checks.probabilities(p, some_answer=False)
    r = _checks.scalar("correlation", correlation, 0, 1)
    thresholds = -scipy.special.ndtri(p)  # Φ^{-1}(1 − p), ±inf for p = 0, 1

    def init(key: PRNGKeyArray) -> State:
        del key
        return ()

    def sample(state: State, key: PRNGKeyArray) -> tuple[Bool[Array, " k"], State]:
        drawn = jax.random.normal(key, (1 + p.size,))
        load = np.sqrt(r) * drawn[0] + np.sqrt(1 - r) * drawn[1:]
        return load <= jnp.asarray(thresholds, drawn.dtype), state

    return StragglerModel(
        init,
        sample,
        probabilities=p.copy,
        covariance=functools.partial(_copula_covariance, p, thresholds, r),
        autocorrelation=functools.partial(no_autocorrelation, p),
    )


def shared_shocks(
    p: ArrayLike, *, groups: ArrayLike, shock: ArrayLike
) -> StragglerModel:
    """Groups of workers, such as a host or a rack, that now and then straggle as one.

    In each iteration a shock hits group γ with probability s_γ and makes all its
    workers straggle; worker i straggles by itself often enough to make p_i in all. Two
    workers of a group have Cov(I_i, I_l) = (1 − p_i)(1 − p_l) s/(1 − s), workers of
    different groups are independent.

    Args:
        p: straggler probabilities (k,), each in [0, 1].
        groups: the group of each worker (k,), integers from 0.
        shock: s_γ in [0, 1), one number, or one a group; at most the least p_i of the
            group.

    Raises:
        ValueError: an argument out of its range, or a shock more likely than a worker
            of its group is to straggle.

    Example:
        >>> model = shared_shocks([0.2, 0.2, 0.2], groups=[0, 0, 1], shock=0.1)
        >>> print(model.covariance().round(4))  # 0.8² · 0.1/0.9 within group 0
        [[0.16   0.0711 0.    ]
         [0.0711 0.16   0.    ]
         [0.     0.     0.16  ]]
    """
    p = _checks.probabilities(p, some_answer=False)
    group = _group_numbers(groups, p.size)
    num_groups = int(group.max()) + 1
    shocks = _checks.one_or_each("shock", shock, num_groups, "group")
    _checks.within("shock", shocks, 0, 1)
    too_likely = (shocks[group] > p) | (shocks[group] == 1)
    if too_likely.any():
        at = int(np.flatnonzero(too_likely)[0])
        raise ValueError(
            f"shock must be below 1 and at most the p of each worker of its group, got "
            f"{shocks[group[at]]:g} for worker {at} with p = {p[at]:g}"
        )
    answers_alone = (1 - p) / (1 - shocks[group])

    def init(key: PRNGKeyArray) -> State:
        del key
        return ()

    def sample(state: State, key: PRNGKeyArray) -> tuple[Bool[Array, " k"], State]:
        group_key, worker_key = jax.random.split(key)
        spared = jax.random.bernoulli(group_key, 1 - shocks)
        alone = jax.random.bernoulli(worker_key, answers_alone)
        return spared[group] & alone, state

    def covariance() -> Float[np.ndarray, "k k"]:
        odds = (shocks / (1 - shocks))[group]
        together = (group[:, None] == group) * odds
        matrix = together * np.outer(1 - p, 1 - p)
        np.fill_diagonal(matrix, p * (1 - p))
        return matrix

    return StragglerModel(
        init,
        sample,
        probabilities=p.copy,
        covariance=covariance,
        autocorrelation=functools.partial(no_autocorrelation, p),
    )


def _group_numbers(groups: ArrayLike, num_workers: int) -> Int[np.ndarray, " k"]:
    array = np.asarray(groups)
    if (
        array.shape != (num_workers,)
        or array.dtype.kind not in "iu"
        or (array < 0).any()
    ):
        raise ValueError(
            f"groups must be {num_workers} integers ≥ 0, one a worker, got {groups!r}"
        )
    return array.astype(np.int32)


def _copula_covariance(
    p: Float[np.ndarray, " k"], thresholds: Float[np.ndarray, " k"], r: float
) -> Float[np.ndarray, "k k"]:
    """Φ₂(h_i, h_l; r) − Φ(h_i) Φ(h_l), by Owen's T function (Owen, 1956)."""
    if r == 1:  # the worker with the larger p straggles whenever the other does
        matrix = np.minimum.outer(p, p) - np.outer(p, p)
    else:
        # Φ₂ is continuous at 0, where the formula divides.
        h = np.where(np.abs(thresholds) < 1e-150, 1e-150, thresholds)
        h = np.clip(h, -40, 40)  # Φ(−40) is 0 in float64
        slope = (h / h[:, None] - r) / np.sqrt(1 - r**2)
        half = scipy.special.owens_t(h[:, None], slope)
        opposite = np.sign(h)[:, None] != np.sign(h)
        answers = 1 - p
        both = (np.add.outer(answers, answers) - opposite) / 2 - half - half.T
        matrix = both - np.outer(answers, answers)
    np.fill_diagonal(matrix, p * (1 - p))
    return matrix
