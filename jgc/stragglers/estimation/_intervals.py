"""How far a straggler probability may be from its estimate."""

import numpy as np
import scipy.special
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc.stragglers.estimation._prior import JEFFREYS, BetaPrior, checked_counts

Interval = tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]


def credible_interval(
    late: ArrayLike,
    *,
    rounds: ArrayLike,
    prior: BetaPrior = JEFFREYS,
    level: float = 0.95,
) -> Interval:
    """Equal-tailed interval of the Beta posterior of each p_i.

    With the default prior it is Jeffreys' interval, which covers the true p close to
    `level` of the time. Where all or none of the counts are late, its outer end is 1
    or 0 with that prior (Brown, Cai & DasGupta, Statistical Science 2001).

    For independent rounds. Rounds that depend on one another are worth fewer than they
    seem: `record_interval` counts them. And for a prior that is not of these rounds
    itself: one of `fit_beta_prior` takes workers to be independent, and where they
    straggle in the same rounds it may be worth far more rounds than it was fitted to,
    with intervals of no width about a mean that the next rounds will not have.

    Args:
        late: rounds in which each worker straggled (k,); discounted counts will do.
        rounds: rounds seen, one number for all, or (k,).
        prior: of p.
        level: in (0, 1).

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> low, high = credible_interval([0, 5], rounds=10)
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.0, 0.224], [0.217, 0.776])
    """
    counts, seen = checked_counts(late, rounds)
    tail = (1 - checked_level(level)) / 2
    a, b = prior.checked().late + counts, prior.in_time + seen - counts
    low = scipy.special.betaincinv(a, b, tail)
    high = scipy.special.betaincinv(a, b, 1 - tail)
    if prior == JEFFREYS:
        low, high = np.where(counts == 0, 0.0, low), np.where(counts == seen, 1.0, high)
    return low, high


def wilson_interval(
    late: ArrayLike, *, rounds: ArrayLike, level: float = 0.95
) -> Interval:
    """Wilson's score interval of each p_i: without a prior, in closed form.

    Args:
        late: rounds in which each worker straggled (k,).
        rounds: rounds seen, at least 1; one number for all, or (k,).
        level: in (0, 1).

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> low, high = wilson_interval([0, 5], rounds=10)
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([0.0, 0.237], [0.278, 0.763])
    """
    counts, seen = checked_counts(late, rounds)
    if (seen < 1).any():
        raise ValueError(f"rounds must be at least 1, got {seen.min():g}")
    z = scipy.special.ndtri((1 + checked_level(level)) / 2)
    rate, scale = counts / seen, 1 + z**2 / seen
    centre = (rate + z**2 / (2 * seen)) / scale
    half = z / scale * np.sqrt(rate * (1 - rate) / seen + (z / (2 * seen)) ** 2)
    return np.maximum(centre - half, 0), np.minimum(centre + half, 1)


def checked_level(level: float) -> float:
    """The same, or an error unless it lies strictly between 0 and 1."""
    if not 0 < _checks.scalar("level", level) < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level!r}")
    return float(level)
