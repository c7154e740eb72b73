"""Shifted-exponential latencies by maximum likelihood, censored at the deadline."""

from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from jgc.stragglers._latency import positive_deadline
from jgc.stragglers.estimation._intervals import Interval, checked_level


class ShiftedExponentialFit(NamedTuple):
    """s_i and λ_i of T_i = s_i + Exp(λ_i), of each worker.

    Attributes:
        shift: ŝ_i in seconds (k,), the least latency seen; the deadline where none was.
        rate: λ̂_i per second (k,): 0 where no answer was seen, infinite where all were
            seen and equal.
        answered: rounds in which worker i answered by the deadline (k,).
        excess: Σ (min(T_i, τ) − ŝ_i) in seconds (k,), the time waited beyond the shift.
        rounds: T.
    """

    shift: Float[np.ndarray, " k"]
    rate: Float[np.ndarray, " k"]
    answered: Int[np.ndarray, " k"]
    excess: Float[np.ndarray, " k"]
    rounds: int

    def survival(self, deadline: float) -> Float[np.ndarray, " k"]:
        """P(T_i > τ) (38) as fitted, for any τ > 0; it may be 0 or 1."""
        return _survival(self.shift, self.rate, positive_deadline(deadline))

    def probabilities(self, deadline: float) -> Float[np.ndarray, " k"]:
        """`survival` within [½/(T+1), 1 − ½/(T+1)], the surest that counting would be.

        The exponential tail promises far more than T rounds can show: a p̂_i of 10⁻⁹
        would put all the data on worker i [ours].
        """
        least = 0.5 / (self.rounds + 1)
        return np.clip(self.survival(deadline), least, 1 - least)

    def interval(self, deadline: float, *, level: float = 0.95) -> Interval:
        """Equal-tailed confidence interval of P(T_i > τ), given the shift.

        For independent rounds, from 2 λ Σ(T − ŝ) ~ χ² with 2(r − 1) degrees of freedom
        for r answers: exact without censoring, near it otherwise. Workers with r ≤ 1
        get [0, 1].
        """
        tau, tail = positive_deadline(deadline), (1 - checked_level(level)) / 2
        freedom = np.maximum(2 * (self.answered - 1), 1)
        known = (self.answered > 1) & (self.excess > 0)
        twice = np.where(known, 2 * self.excess, 1.0)
        # χ² quantiles; `scipy.stats` alone would be a third of the time to import jgc.
        fast = 2 * scipy.special.gammaincinv(freedom / 2, 1 - tail) / twice
        slow = 2 * scipy.special.gammaincinv(freedom / 2, tail) / twice
        low = np.where(known, _survival(self.shift, fast, tau), 0.0)
        high = np.where(known, _survival(self.shift, slow, tau), 1.0)
        return low, high


def fit_shifted_exponential(
    latencies: ArrayLike, *, deadline: float | None = None
) -> ShiftedExponentialFit:
    """The likeliest shift and rate of each worker, in closed form.

    ŝ is the least latency seen, and λ̂ = r / Σ_t (min(T_t, τ) − ŝ), with r answers by
    the deadline: the others are known to have taken longer, no more. λ̂ is biased
    upwards by about a share 2/r.

    Not good where the law is another: a few very slow rounds spoil the rate. See
    `check_shifted_exponential`; counting needs no law.

    Args:
        latencies: in seconds (T, k), a row a round; beyond the deadline anything, NaN
            and infinity included, stands for "late".
        deadline: τ in seconds; None if every latency was seen.

    Raises:
        ValueError: not such an array; or negative latencies, or, without a deadline,
            missing ones.

    Example:
        >>> seconds = [[1.0, 1.0], [2.0, np.inf], [3.0, 9.0]]
        >>> fit = fit_shifted_exponential(seconds, deadline=3.0)
        >>> fit.shift.tolist(), fit.rate.tolist()  # 3 answers in 3 s, 1 in 4 s
        ([1.0, 1.0], [1.0, 0.25])
    """
    seconds = np.asarray(latencies, np.float64)
    if seconds.ndim != 2 or 0 in seconds.shape:
        raise ValueError(
            f"latencies must be (rounds, workers), neither 0, got shape {seconds.shape}"
        )
    if (seconds < 0).any():
        raise ValueError(f"latencies must not be negative, got {np.nanmin(seconds)}")
    if deadline is None:
        if not np.isfinite(seconds).all():
            raise ValueError(
                "latencies must be finite where there is no deadline to censor them at"
            )
        tau = np.inf
        is_answer = np.ones(seconds.shape, bool)
    else:
        tau = positive_deadline(deadline)
        is_answer = seconds <= tau
        seconds = np.where(is_answer, seconds, tau)
    answered = is_answer.sum(0)
    shift = seconds.min(0)
    excess = (seconds - shift).sum(0)
    return ShiftedExponentialFit(
        shift, likeliest_rate(answered, excess), answered, excess, seconds.shape[0]
    )


def likeliest_rate(answered: np.ndarray, excess: np.ndarray) -> np.ndarray:
    """r / Σ, with the limits that `ShiftedExponentialFit.rate` documents."""
    known = np.divide(
        answered, excess, out=np.full(excess.shape, np.inf), where=excess > 0
    )
    return np.where(answered > 0, known, 0.0)


def _survival(shift: np.ndarray, rate: np.ndarray, deadline: float) -> np.ndarray:
    beyond = np.maximum(deadline - shift, 0)
    exponent = np.multiply(rate, beyond, out=np.zeros(shift.shape), where=beyond > 0)
    # An infinite rate is a point at the shift, and a deadline at the shift includes it.
    is_point = np.isinf(rate) & (deadline >= shift)
    return np.where(is_point, 0.0, np.exp(-exponent))
