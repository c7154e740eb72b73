"""What a sample says of the error, and when it says nothing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from jgc.residual._sampling.moments import Moments

# A mean that fewer events carry has no standard error to speak of: of a Poisson count
# of 10 the usual 95 % interval covers 93 %, of 3 it covers 80 %, of 0 nothing.
FEWEST_EVENTS = 10
# From here on it covers 95 % within one in a hundred: enough to stop a run, or to
# believe that controls explained the rest.
_ENOUGH_EVENTS = 50

# A standard error of fewer samples is not to be trusted to stop a run.
LEAST_SAMPLES = 256


@dataclass(frozen=True)
class Known:
    """What is known of the plans beside the sample.

    Attributes:
        is_random: whether a plan's error depends on chance at all.
        rarer: chances of rare outcomes of some workers, that come as they come.
        adds: what each adds to a plan's error.
    """

    is_random: Bool[np.ndarray, " plans"]
    rarer: Float[np.ndarray, " workers"]
    adds: Float[np.ndarray, "plans workers"]

    def missed(self, trials: int) -> Float[np.ndarray, " plans"]:
        """What the rare outcomes add of which so many trials have too few.

        Outcomes that are too few each can be enough together: events that carry the
        variance Σ_i a_i²/q_i are counted as in `Moments.events`.
        """
        few = self.rarer * trials < FEWEST_EVENTS
        adds, rarer = self.adds[:, few], self.rarer[few]
        fourth = (adds**4 / rarer**3).sum(axis=1)
        events = (
            trials * (adds**2 / rarer).sum(axis=1) ** 2 / np.maximum(fourth, 1e-300)
        )
        return np.where(events < FEWEST_EVENTS, adds.sum(axis=1), 0)


@dataclass(frozen=True)
class Estimate:
    """Of each plan's error.

    Attributes:
        mean: the error.
        standard_error: of the mean; infinite where the sample supports none.
        is_enough: whether the sample may stop a run.
        trials: that it is from.
    """

    mean: Float[np.ndarray, " plans"]
    standard_error: Float[np.ndarray, " plans"]
    is_enough: bool
    trials: int

    def relative(self) -> float:
        """The largest standard error over its mean; infinite for a mean of 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = self.standard_error / np.abs(self.mean)
        return float(np.where(self.standard_error == 0, 0, relative).max())


def estimate(moments: Moments, known: Known, *, steps: int) -> Estimate:
    """The best estimate that enough events carry.

    Args:
        moments: of (plans, 1) streams of plain samples, or of (plans, 2), the second
            freed of what controls explain. Of the little that is left, masks that were
            hardly met may carry all: controls count where enough events carry it.
        known: beside the sample.
        steps: iterations a sample.
    """
    trials = moments.count * steps
    mean = moments.mean
    error, events = moments.standard_error(), moments.events(np.abs(mean))
    pick = np.zeros(mean.shape[0], int)
    if mean.shape[1] > 1:
        # Rule of three: a kind of event may be unmet that comes 3 times in as many
        # samples, and is as large as what carries the plain error.
        least = 3 * error[:, 0] / np.sqrt(np.maximum(events[:, 0], 1))
        error[:, 1] = np.maximum(error[:, 1], least)
        explained = (events[:, 1] >= _ENOUGH_EVENTS) & (error[:, 1] < error[:, 0])
        pick = explained.astype(int)
    plan = np.arange(pick.size)
    error, events = error[plan, pick], events[plan, pick]
    # A quarter of a standard error of bias takes an interval from 95 to 94 %.
    events = np.where(known.missed(trials) > error / 4, 0, events)
    return Estimate(
        mean=mean[plan, pick],
        standard_error=np.where(
            known.is_random, np.where(events < FEWEST_EVENTS, np.inf, error), 0
        ),
        is_enough=bool(((events >= _ENOUGH_EVENTS) | ~known.is_random).all()),
        trials=trials,
    )
