"""What is believed of p before any round was seen."""

from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import ArrayLike

from jgc import _checks

# Range of the weight of a fitted prior, in rounds: from as little as Jeffreys' to
# workers that are alike as far as any record can tell.
_LEAST_WEIGHT, _MOST_WEIGHT = 1.0, 1e5


class BetaPrior(NamedTuple):
    """A Beta law of p, worth `late` + `in_time` rounds of evidence.

    Attributes:
        late: a > 0, rounds in which the worker straggled, as if seen before the first.
        in_time: b > 0, rounds in which it answered.
    """

    late: float
    in_time: float

    def checked(self) -> "BetaPrior":
        """The same, or an error.

        Raises:
            ValueError: a or b is not a positive finite number.
        """
        for name, value in zip(self._fields, self, strict=True):
            if _checks.scalar(f"prior.{name}", value, low=0) < 1e-6:
                raise ValueError(f"prior.{name} must be at least 1e-6, got {value!r}")
        return self


#: Half an answer and half a miss.
JEFFREYS = BetaPrior(0.5, 0.5)
"""Half a round of each kind; with T rounds, p̂ is between ½/(T+1) and 1 − ½/(T+1)."""


def fit_beta_prior(late: ArrayLike, *, rounds: ArrayLike) -> BetaPrior:
    """The prior that workers share, from all their counts (empirical Bayes) [ours].

    Its mean is the pooled straggler rate, its weight maximises the marginal (beta-
    binomial) likelihood. Good for many workers and few rounds, where each worker's own
    record says little: a worker never seen late is then as good as the cluster lets one
    hope, not better. Not good where workers are of a few distinct kinds, nor as a
    measure of how sure p is: rounds in which all straggle together make workers look
    alike (5 rounds of 256 recorded workers gave a weight of 10^5). Where no worker was
    ever late, or none ever answered, there is nothing to fit: Jeffreys'.

    Args:
        late: rounds in which each worker straggled (k,).
        rounds: rounds seen, one number for all, or (k,).

    Raises:
        ValueError: counts that are negative or exceed the rounds.

    Example:
        >>> prior = fit_beta_prior([0, 1, 2, 5], rounds=10)
        >>> round(prior.late, 1), round(prior.in_time, 1)  # mean 8.5/41
        (1.3, 5.0)
    """
    counts, seen = checked_counts(late, rounds)
    if counts.sum() in (0, seen.sum()):
        return JEFFREYS
    mean = float((counts.sum() + 0.5) / (seen.sum() + 1))
    # Many workers have the same few counts.
    pairs, workers = np.unique([counts, seen], axis=1, return_counts=True)
    counts, in_time = pairs[0], pairs[1] - pairs[0]

    def negative_log_likelihood(log_weight: float) -> float:
        weight = np.exp(log_weight)
        a, b = weight * mean, weight * (1 - mean)
        terms = scipy.special.betaln(a + counts, b + in_time)
        return -float(workers @ (terms - scipy.special.betaln(a, b)))

    bounds = (np.log(_LEAST_WEIGHT), np.log(_MOST_WEIGHT))
    found = scipy.optimize.minimize_scalar(
        negative_log_likelihood, bounds=bounds, method="bounded"
    )
    weight = float(np.exp(found.x))
    return BetaPrior(max(weight * mean, 1e-6), max(weight * (1 - mean), 1e-6))


def checked_counts(late: ArrayLike, rounds: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Counts of late rounds and of all, (k,) each.

    Raises:
        ValueError: not 0 ≤ late ≤ rounds.
    """
    counts = _checks.within("late", late, 0, np.inf)
    seen = _checks.one_or_each("rounds", rounds, counts.size, "worker")
    if (counts > seen).any():
        at = int(np.flatnonzero(counts > seen)[0])
        raise ValueError(
            f"late must be at most rounds, got {counts[at]:g} of {seen[at]:g} for "
            f"worker {at}"
        )
    return counts, seen
