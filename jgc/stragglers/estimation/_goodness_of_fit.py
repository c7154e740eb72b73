"""Whether stragglers are what a model says: tests whose p-values assume nothing else.

`check_independence` and `check_bursts` are permutation tests, exact for any p;
`check_shifted_exponential` compares with simulations of the fitted law. A small p-value
says that the model is wrong, not that it is useless: look at `statistic` beside
`expected` for how wrong.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers.estimation._shifted_exponential_fit import (
    ShiftedExponentialFit,
    fit_shifted_exponential,
)

Late = Bool[np.ndarray, "T k"]


class FitTest(NamedTuple):
    """One test of a model.

    Attributes:
        statistic: what was measured.
        expected: its mean if the model holds.
        p_value: the chance of a statistic at least as large if the model holds; at
            least 1/(permutations + 1).
    """

    statistic: float
    expected: float
    p_value: float


def check_independence(
    masks: ArrayLike, *, permutations: int = 999, seed: int = 0
) -> FitTest:
    """Do workers straggle independently of each other? Large: they do so together.

    The statistic is the variance over rounds of the number of stragglers: about
    Σ p_i (1 − p_i) if they are independent, as the residual error's closed form has it.
    Each worker's rounds are permuted on their own. Drift over time that is common to
    all workers counts as straggling together.

    Args:
        masks: who answered (T, k), T ≥ 2 rounds.
        permutations: how many; fewer are less sure.
        seed: of the permutations.

    Raises:
        ValueError: not such masks.
    """
    return _permutation_test(
        masks,
        statistic=lambda is_late: is_late.sum(1).var(),
        permuted=lambda is_late, rng: rng.permuted(is_late, axis=0),
        permutations=permutations,
        seed=seed,
    )


def check_bursts(
    masks: ArrayLike, *, permutations: int = 999, seed: int = 0
) -> FitTest:
    """Do rounds depend on the one before? Large: who was late is late again.

    The statistic is the share of late answers that were followed by a late answer of
    the same worker. Whole rounds are permuted, so that workers may straggle together.
    1/(1 − statistic) is about the mean length of a burst.

    Args:
        masks: who answered (T, k), T ≥ 2 rounds.
        permutations: how many; fewer are less sure.
        seed: of the permutations.

    Raises:
        ValueError: not such masks.
    """
    return _permutation_test(
        masks,
        statistic=_repeats,
        permuted=lambda is_late, rng: is_late[rng.permutation(is_late.shape[0])],
        permutations=permutations,
        seed=seed,
    )


def check_shifted_exponential(
    latencies: ArrayLike,
    *,
    deadline: float | None = None,
    simulations: int = 199,
    seed: int = 0,
) -> FitTest:
    """Are latencies shifted-exponential? Large: they are not.

    The statistic is the Kolmogorov–Smirnov distance between each worker's latencies and
    its fitted law, up to the deadline, averaged over workers. The fit adapts to the
    data, so that tables of the distance do not hold: it is compared with the same of
    data drawn from the fit (parametric bootstrap). Workers with fewer than two
    different answers are left out.

    Args:
        latencies: in seconds (T, k), as for `fit_shifted_exponential`.
        deadline: τ in seconds where they are censored; None if every one was seen.
        simulations: how many; fewer are less sure.
        seed: of the simulations.

    Raises:
        ValueError: latencies that `fit_shifted_exponential` refuses, or no worker with
            two different answers.
    """
    seconds = np.asarray(latencies, np.float64)
    fit = fit_shifted_exponential(seconds, deadline=deadline)
    usable = np.isfinite(fit.rate) & (fit.answered > 1)
    if not usable.any():
        raise ValueError(
            "latencies must have two different answers of some worker by the deadline"
        )
    seconds = seconds[:, usable]
    shift, rate = fit.shift[usable], fit.rate[usable]
    rng = np.random.default_rng(seed)

    def simulated() -> float:
        drawn = shift + rng.exponential(size=seconds.shape) / rate
        return _distance(drawn, deadline)

    draws = [simulated() for _ in range(_checks.count("simulations", simulations))]
    return _compare(_distance(seconds, deadline), np.array(draws))


def _permutation_test(
    masks: ArrayLike,
    *,
    statistic: Callable[[Late], float],
    permuted: Callable[[Late, np.random.Generator], Late],
    permutations: int,
    seed: int,
) -> FitTest:
    """Compares the statistic of who was late with that of permutations of it."""
    is_late = ~_masks(masks)
    rng = np.random.default_rng(seed)
    drawn = (
        statistic(permuted(is_late, rng))
        for _ in range(_checks.count("permutations", permutations))
    )
    return _compare(statistic(is_late), np.fromiter(drawn, np.float64))


def _masks(masks: ArrayLike) -> Bool[np.ndarray, "T k"]:
    array = np.asarray(masks)
    if array.dtype != bool or array.ndim != 2 or array.shape[0] < 2 or not array.size:
        raise ValueError(
            "masks must be boolean (rounds, workers) with two rounds or more, got "
            f"shape {array.shape} and dtype {array.dtype}"
        )
    return array


def _repeats(is_late: Bool[np.ndarray, "T k"]) -> float:
    return float((is_late[1:] & is_late[:-1]).sum() / max(is_late[:-1].sum(), 1))


def _distance(seconds: Float[np.ndarray, "T k"], deadline: float | None) -> float:
    fit = fit_shifted_exponential(seconds, deadline=deadline)
    return float(_kolmogorov_smirnov(seconds, fit).mean())


def _kolmogorov_smirnov(
    seconds: Float[np.ndarray, "T k"], fit: ShiftedExponentialFit
) -> Float[np.ndarray, " k"]:
    """sup |F̂ − F| over the answers seen, for each worker."""
    rounds = seconds.shape[0]
    ordered = np.sort(np.where(np.isnan(seconds), np.inf, seconds), axis=0)
    rank = np.arange(1, rounds + 1)[:, None]
    with np.errstate(invalid="ignore"):
        law = -np.expm1(-fit.rate * (ordered - fit.shift))
    gap = np.maximum(rank / rounds - law, law - (rank - 1) / rounds)
    return np.where(rank <= fit.answered, gap, 0).max(0)


def _compare(statistic: float, drawn: Float[np.ndarray, " draws"]) -> FitTest:
    as_large = (drawn >= statistic * (1 - 1e-12)).sum()
    return FitTest(
        statistic=float(statistic),
        expected=float(drawn.mean()),
        p_value=float((1 + as_large) / (1 + drawn.size)),
    )
