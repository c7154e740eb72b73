"""How long to wait for answers: the deadline of least time to a given accuracy [ours].

By Theorem 2 the number of iterations to a given accuracy grows as 1 + 1/D(τ), where
n²/D is the residual error of an optimal code for aligned gradients. An iteration takes
τ and what else it costs. So the time to the accuracy goes as
(τ + overhead)(1 + 1/D(τ)): short deadlines need more iterations, long ones more time
for each.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.optimize
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._extras import require
from jgc.codes._optimal_structure import least_aligned_error
from jgc.stragglers import LatencyModel, Trace
from jgc.stragglers._latency import positive_deadline
from jgc.stragglers.estimation import BetaPrior, fit_beta_prior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Survival = Callable[[float], Float[np.ndarray, " k"]]
Error = Callable[[Float[np.ndarray, " k"]], float]

_NO_ANSWERS = "no worker ever answers: there is no deadline to choose"

_GRID = 512  # deadlines of a model that are compared before the best is refined


class DeadlineCurve(NamedTuple):
    """What each of some deadlines costs.

    Attributes:
        deadlines: τ in seconds, ascending.
        error: E‖g − ĝ‖²/‖g‖², 1/D(τ) unless another error was given; infinite where no
            worker ever answers.
        iteration: τ + overhead in seconds, the time of an iteration.
        time: (τ + overhead)(1 + error) in seconds: the time to a given accuracy, for
            each iteration that would do without stragglers.
    """

    deadlines: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]
    iteration: Float[np.ndarray, " m"]
    time: Float[np.ndarray, " m"]

    @property
    def best(self) -> int:
        """Where `time` is least."""
        return int(self.time.argmin())


def aligned_error(p: Float[np.ndarray, " k"]) -> float:
    """1/D, E‖g − ĝ‖²/‖g‖² of optimal codes for aligned gradients; infinite if all 1."""
    return np.inf if (p == 1).all() else least_aligned_error(p, 1)


def trace_survival(recorded: Trace, *, prior: BetaPrior | None = None) -> Survival:
    """P(T_i > τ) as a trace shows it: late rounds counted, with a prior.

    Without a prior a worker that was never late would make D infinite, and its latest
    answer a perfect deadline.

    Args:
        recorded: the trace.
        prior: Beta(a, b) of each p_i, the same at every τ; by default fitted to the
            workers at each τ (`fit_beta_prior`). A fixed one adds up over workers: by
            Jeffreys', 256 that were never seen to answer in 20 rounds make a D of 6.

    Example:
        >>> from jgc.stragglers import trace
        >>> from jgc.stragglers.estimation import BetaPrior
        >>> recorded = trace([[1.0, 3.0], [1.0, 1.5]])
        >>> jeffreys = BetaPrior(0.5, 0.5)
        >>> trace_survival(recorded, prior=jeffreys)(2.0).round(3).tolist()
        [0.167, 0.5]
    """
    rounds = recorded.num_rounds

    def survival(deadline: float) -> Float[np.ndarray, " k"]:
        late = rounds - recorded.answered(deadline).sum(0)
        beta = (prior or fit_beta_prior(late, rounds=rounds)).checked()
        return (beta.late + late) / (beta.late + beta.in_time + rounds)

    return survival


def deadline_curve(
    survival: Survival,
    deadlines: ArrayLike,
    *,
    overhead: float = 0.0,
    error: Error = aligned_error,
) -> DeadlineCurve:
    """Error and time to accuracy against τ.

    Args:
        survival: `survival(τ) -> p` (k,), such as `LatencyModel.survival`,
            `ShiftedExponentialFit.probabilities` or `trace_survival(trace)`.
        deadlines: τ in seconds, positive, in any order.
        overhead: seconds ≥ 0 that an iteration costs beside waiting: sending the model,
            decoding, updating.
        error: `error(p)`, E‖g − ĝ‖²/‖g‖² of the unbiased plan that p would be met with;
            by default Theorem 2's 1/D, for gradients that agree. E‖ĝ‖² is ‖g‖² times
            1 + error whatever the gradients are.

    Raises:
        ValueError: a deadline that is not positive, or a negative overhead.

    Example:
        >>> from jgc.stragglers import exponential
        >>> curve = deadline_curve(exponential([1.0, 1.0]).survival, [0.5, 1.0, 2.0])
        >>> curve.error.round(3).tolist()
        [0.771, 0.291, 0.078]
    """
    overhead = _checks.scalar("overhead", overhead, low=0.0)
    tau = np.unique(_checks.vector("deadlines", deadlines))
    positive_deadline(tau[0])
    errors = np.array([error(survival(float(deadline))) for deadline in tau])
    iteration = tau + overhead
    return DeadlineCurve(tau, errors, iteration, iteration * (1 + errors))


def best_deadline(
    source: LatencyModel | Trace,
    *,
    overhead: float = 0.0,
    error: Error = aligned_error,
    prior: BetaPrior | None = None,
    candidates: int = 1024,
) -> float:
    """The τ in seconds that minimises (τ + overhead)(1 + error(τ)), error = 1/D.

    For a trace the minimiser is one of its latencies. For a model it is found between
    the times by which hardly any worker and nearly all answered, on a grid of 512, then
    refined to 10⁻⁸ of it.

    Args:
        source: recorded latencies, or a model of them.
        overhead: as in `deadline_curve`.
        error: as in `deadline_curve`.
        prior: for a trace, as in `trace_survival`.
        candidates: for a trace, how many of its latencies to compare, evenly by rank.

    Raises:
        ValueError: no worker ever answers; or the time only falls as τ goes to 0, as
            for `exponential` without overhead, whose workers may answer at once.

    Example:
        >>> from jgc.stragglers import shifted_exponential
        >>> round(best_deadline(shifted_exponential([1.0, 1.0], shift=1.0)), 2)
        1.77
    """
    if isinstance(source, Trace):
        survival = trace_survival(source, prior=prior)
        latencies = _spread(source, _checks.count("candidates", candidates, minimum=2))
        curve = deadline_curve(survival, latencies, overhead=overhead, error=error)
        return float(curve.deadlines[curve.best])
    survival = source.survival
    low, high = _range_of_answers(survival)
    grid = np.geomspace(low, high, _GRID)
    curve = deadline_curve(survival, grid, overhead=overhead, error=error)
    at = curve.best
    if not np.isfinite(curve.time[at]):
        raise ValueError(_NO_ANSWERS)
    if curve.time[0] <= curve.time[at] * (1 + 1e-5):  # D so near 0 has rounding errors
        raise ValueError(
            "the time to accuracy falls as the deadline goes to 0: workers may answer "
            "at once, and waiting is all that an iteration costs; give an overhead"
        )
    neighbours = curve.deadlines[[at - 1, min(at + 1, _GRID - 1)]]
    found = scipy.optimize.minimize_scalar(
        lambda tau: (tau + overhead) * (1 + error(survival(tau))),
        bounds=tuple(neighbours),
        method="bounded",
        options={"xatol": 1e-8 * neighbours[1]},
    )
    return float(found.x if found.fun < curve.time[at] else curve.deadlines[at])


def draw_deadlines(curve: DeadlineCurve, *, chosen: float | None = None) -> "Figure":
    """Error, and time to accuracy beside the time of an iteration, against τ.

    Args:
        curve: of `deadline_curve`.
        chosen: a deadline to mark; by default the curve's best.

    Raises:
        ImportError: matplotlib is not installed (extra "plots").

    Example:
        >>> from jgc.stragglers import exponential
        >>> curve = deadline_curve(exponential([1.0, 1.0]).survival, [0.5, 1.0, 2.0])
        >>> len(draw_deadlines(curve).axes)
        2
    """
    figure: Any = require("matplotlib.figure", extra="plots").Figure(
        figsize=(10, 4), layout="constrained"
    )
    chosen = float(curve.deadlines[curve.best]) if chosen is None else chosen
    left, right = figure.subplots(1, 2)
    left.plot(curve.deadlines, curve.error)
    left.set(yscale="log", ylabel="E‖g − ĝ‖²/‖g‖²")
    right.plot(curve.deadlines, curve.time, label="time to accuracy")
    right.plot(curve.deadlines, curve.iteration, ":", label="time of an iteration")
    right.set(ylim=(0, 6 * curve.time.min()), ylabel="seconds")
    for axis in (left, right):
        axis.axvline(chosen, color="0.5", linestyle="--", label=f"τ = {chosen:.4g} s")
        axis.set(xscale="log", xlabel="deadline τ, seconds")
    right.legend()
    return figure


def _spread(recorded: Trace, most: int) -> Float[np.ndarray, " m"]:
    """Latencies of the trace, at most so many, evenly by rank.

    Raises:
        ValueError: no worker ever answers.
    """
    seen = np.unique(recorded.latencies).astype(np.float64)
    seen = seen[np.isfinite(seen) & (seen > 0)]
    if seen.size == 0:
        raise ValueError(_NO_ANSWERS)
    if seen.size <= most:
        return seen
    return seen[np.linspace(0, seen.size - 1, most).astype(int)]


def _range_of_answers(survival: Survival) -> tuple[float, float]:
    """Times around the minimiser, powers of 2.

    At `high` nearly all workers that ever answer have done so, and longer deadlines
    cost more than they can gain; up to `low` no worker answers, or hardly.
    """
    times = [2.0**exponent for exponent in range(-60, 61)]
    settled = survival(times[-1])
    high = next(t for t in times if (survival(t) - settled).max() < 1e-9)
    low = max((t for t in times if survival(t).min() > 1 - 1e-9), default=times[0])
    return low, max(high, 2 * low)
