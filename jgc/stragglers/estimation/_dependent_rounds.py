"""How much a record says of p where its rounds depend on one another [ours]."""

import numpy as np
import scipy.fft
import scipy.special
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from jgc.stragglers.estimation._intervals import (
    Interval,
    checked_level,
    credible_interval,
)

# Fewer rounds say nothing of how they depend on one another.
_FEWEST_ROUNDS = 10

# Where a window's lags lose more than the rest of 1 to the mean, τ is anyone's guess.
_LEAST_KEPT = 0.1


def effective_rounds(masks: ArrayLike) -> float:
    """T_eff ≤ T, the independent rounds that would say as much of each p_i as these T.

    Counting over T rounds leaves p̂_i the variance p_i (1 − p_i) τ/T, with
    τ = 1 + 2 Σ_l ρ_l of the correlations ρ_l over l rounds, and T_eff = T/τ. They are
    estimated from all workers together, up to the first pair ρ_{2j−1} + ρ_{2j} that is
    not positive (Geyer, Statistical Science 1992), and corrected for what subtracting
    each worker's mean takes away, E[ρ̂_l] ≈ (ρ_l − τ/T)/(1 − τ/T). That τ is the
    workers' mean: one of longer bursts than the others has fewer rounds than it says.

    Rounds in which all workers straggle together do not lower it: they say as much of
    one worker as other rounds, only not of the next worker something new.

    Args:
        masks: who answered (T, k), T ≥ 1 rounds one after another.

    Returns:
        From 0 to T. 0 where the record is too short to tell: below 10 rounds, or of
        bursts that are about as long as it is. T where nobody ever changed: no sign of
        dependence, but no proof of independence either.

    Raises:
        ValueError: not such masks.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> effective_rounds(rng.uniform(size=(400, 8)) > 0.2) > 360
        True
        >>> bursts = np.repeat(rng.uniform(size=(100, 8)) > 0.2, 4, axis=0)
        >>> effective_rounds(bursts) < 130
        True
    """
    is_late = ~_record(masks)
    rounds = is_late.shape[0]
    if rounds < _FEWEST_ROUNDS:
        return 0.0
    deviation = is_late - is_late.mean(0)
    spectrum = scipy.fft.rfft(deviation, scipy.fft.next_fast_len(2 * rounds), axis=0)
    power = (spectrum.real**2 + spectrum.imag**2).sum(1)
    covariance = scipy.fft.irfft(power, scipy.fft.next_fast_len(2 * rounds))
    if not covariance[0] > 0:
        return float(rounds)
    num_pairs = (rounds // 2 - 1) // 2
    lag = np.arange(1, 2 * num_pairs + 1)
    seen = covariance[lag] / covariance[0] * rounds / (rounds - lag)
    pairs = seen.reshape(-1, 2).sum(1)
    # τ of windows of 0, 2, 4, … lags, each with the correction that itself implies.
    total = np.concatenate([[0.0], np.cumsum(pairs)])
    kept = 1 - 2 * (2 * np.arange(num_pairs + 1) - total) / rounds
    is_known = kept > _LEAST_KEPT
    tau = np.divide(1 + 2 * total, kept, out=np.full(kept.size, np.inf), where=is_known)
    tau = np.maximum(tau, 1)
    with np.errstate(invalid="ignore"):
        corrected = pairs * (1 - tau[:-1] / rounds) + 2 * tau[:-1] / rounds
    # A window beyond what is known ends the search as well.
    ends = ~(corrected > 0) | np.isinf(tau[:-1])
    window = int(ends.argmax()) if ends.any() else num_pairs
    return float(rounds / tau[window])


def record_interval(masks: ArrayLike, *, level: float = 0.95) -> Interval:
    """An interval of each p_i from a record whose rounds may depend on one another.

    Jeffreys' interval, `credible_interval`, for T_eff = `effective_rounds` rounds of
    the same share of late ones; T_eff being an estimate, the count is divided by the
    squared ratio of Student's quantile at T_eff − 1 degrees of freedom to the normal
    one, as for complex surveys (Korn & Graubard, Survey Methodology 1998). Each worker
    by itself, without a prior that workers share: what hits all of them in the same
    rounds moves such a prior as well, and its intervals do not show it.

    Where the record is too short to tell how its rounds depend, [0, 1].

    Args:
        masks: who answered (T, k), T ≥ 1 rounds one after another.
        level: in (0, 1).

    Returns:
        The lower and the upper ends (k,).

    Raises:
        ValueError: not such masks, or the level out of its range.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> low, high = record_interval(rng.uniform(size=(100, 2)) > 0.2)
        >>> bool((low < 0.2).all() and (0.2 < high).all())
        True
        >>> record_interval(np.ones((5, 2), bool))  # too few to know
        (array([0., 0.]), array([1., 1.]))
    """
    is_late = ~_record(masks)
    tail = (1 + checked_level(level)) / 2
    rounds = effective_rounds(masks)
    if rounds <= 1:
        return np.zeros(is_late.shape[1]), np.ones(is_late.shape[1])
    quantile = scipy.special.stdtrit(rounds - 1, tail)  # Student's t
    rounds *= float(scipy.special.ndtri(tail) / quantile) ** 2
    share: Float[np.ndarray, " k"] = is_late.mean(0)
    return credible_interval(share * rounds, rounds=rounds, level=level)


def _record(masks: ArrayLike) -> Bool[np.ndarray, "T k"]:
    array = np.asarray(masks)
    if array.dtype != bool or array.ndim != 2 or not array.size:
        raise ValueError(
            "masks must be boolean (rounds, workers), neither of them 0, got shape "
            f"{array.shape} and dtype {array.dtype}"
        )
    return array
