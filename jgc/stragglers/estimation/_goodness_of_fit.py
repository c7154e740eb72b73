"""Whether stragglers are what a model says: comparisons with data made like it.

`check_independence` shifts each worker's record in time, `check_bursts` permutes
rounds, `check_shifted_exponential` simulates the fitted law. A small p-value says that
the model is wrong, not that it is useless: look at `statistic` beside `expected` for
how wrong.
"""

from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from jaxtyping import Bool, Float, Int
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers.estimation._shifted_exponential_fit import (
    ShiftedExponentialFit,
    fit_shifted_exponential,
)

# Entries of all the records that are held at once.
_AT_ONCE = 2**25


class FitTest(NamedTuple):
    """One test of a model.

    Attributes:
        statistic: what was measured.
        expected: its mean if the model holds.
        p_value: the chance of a statistic at least as large if the model holds; at
            least 1/(draws + 1), or exact where rounds have no more orders than that.
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
    It is compared with that of records in which each worker's rounds are shifted by a
    number of their own, the end going on at the start: bursts of a worker stay, and
    what workers share goes. So workers may be bursty. Every shift is as likely as none
    but for the one seam where the end meets the start: the longer the record beside the
    bursts, the better. Drift over time that is common to all workers counts as
    straggling together.

    Args:
        masks: who answered (T, k), T ≥ 2 rounds.
        permutations: how many draws of shifts; fewer are less sure.
        seed: of the shifts.

    Raises:
        ValueError: not such masks.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> shocks = np.repeat(rng.uniform(size=(60, 1)) > 0.3, 4, axis=1)
        >>> check_independence(shocks).p_value
        0.001
    """
    is_late = ~_masks(masks)
    rounds, workers = is_late.shape
    # Row s of worker i is its record from round s on, and round again.
    twice = np.concatenate([is_late, is_late[:-1]]).T
    shifted = sliding_window_view(np.ascontiguousarray(twice), rounds, axis=1)
    each = np.arange(workers)
    rng = np.random.default_rng(seed)

    def variance(
        shifts: Int[np.ndarray, "*draws k"], axis: int
    ) -> np.ndarray | np.float64:
        del axis  # the last
        return shifted[each, shifts].sum(-2, dtype=np.int32).var(-1)

    found = scipy.stats.monte_carlo_test(
        np.zeros(workers, np.int64),
        lambda size: rng.integers(rounds, size=size),
        variance,
        vectorized=True,
        n_resamples=_checks.count("permutations", permutations),
        batch=_batch(is_late),
        alternative="greater",
        axis=-1,
    )
    return _as_fit_test(found)


def check_bursts(
    masks: ArrayLike, *, permutations: int = 999, seed: int = 0
) -> FitTest:
    """Do rounds depend on the one before? Large: who was late is late again.

    The statistic is the share of late answers that were followed by a late answer of
    the same worker. Whole rounds are permuted, so that workers may straggle together:
    exact for any p. 1/(1 − statistic) is about the mean length of a burst.

    Args:
        masks: who answered (T, k), T ≥ 2 rounds.
        permutations: how many; fewer are less sure.
        seed: of the permutations.

    Raises:
        ValueError: not such masks.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> bursts = np.repeat(rng.uniform(size=(20, 4)) > 0.3, 3, axis=0)
        >>> check_bursts(bursts).p_value
        0.001
    """
    is_late = ~_masks(masks)

    def repeats(
        order: Int[np.ndarray, "*draws T"], axis: int
    ) -> np.ndarray | np.float64:
        del axis  # the last
        late = is_late[order]
        before, after = late[..., :-1, :], late[..., 1:, :]
        return (before & after).sum((-2, -1)) / np.maximum(before.sum((-2, -1)), 1)

    found = scipy.stats.permutation_test(
        (np.arange(is_late.shape[0]),),
        repeats,
        permutation_type="pairings",
        vectorized=True,
        n_resamples=_checks.count("permutations", permutations),
        batch=_batch(is_late),
        alternative="greater",
        rng=np.random.default_rng(seed),
        axis=-1,
    )
    return _as_fit_test(found)


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

    Example:
        >>> rng = np.random.default_rng(0)
        >>> exponential = 1 + rng.exponential(size=(100, 2))
        >>> check_shifted_exponential(exponential).p_value > 0.05
        True
        >>> uniform = rng.uniform(1, 2, size=(100, 2))
        >>> check_shifted_exponential(uniform).p_value
        0.005
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


def _batch(is_late: Bool[np.ndarray, "T k"]) -> int:
    return max(1, _AT_ONCE // is_late.size)


def _as_fit_test(found: Any) -> FitTest:
    return FitTest(
        statistic=float(found.statistic),
        expected=float(found.null_distribution.mean()),
        p_value=float(found.pvalue),
    )


def _masks(masks: ArrayLike) -> Bool[np.ndarray, "T k"]:
    array = np.asarray(masks)
    if array.dtype != bool or array.ndim != 2 or array.shape[0] < 2 or not array.size:
        raise ValueError(
            "masks must be boolean (rounds, workers) with two rounds or more, got "
            f"shape {array.shape} and dtype {array.dtype}"
        )
    return array


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
