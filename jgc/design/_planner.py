"""What would coding save me? Codes × decoders × waiting rules, raced over a trace."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.codes import Split
from jgc.decoders import Decoder
from jgc.design import rules
from jgc.design._candidate import Candidate, Setting
from jgc.design._candidates import candidates
from jgc.design._race import CASE_WEIGHTS, Effect, race
from jgc.stragglers import LoadedTrace, Trace, with_load

Progress = Callable[[float, str], None]

_SHOWN_OF_A_KIND = 2
_FINALISTS = 10
_SEARCH_DRAWS = 3
_FINAL_DRAWS = 16
# Part of the worst kind of data in the prediction: a hedge, as the kind is not known.
_WORST = 0.2
# Who asks whether to code does not want to lose by it: an option that is slower than
# waiting for all on any usual kind of data counts by that kind alone.
_ROUNDING = 1e-3
_WORTHWHILE = 0.985  # of waiting for all's time: less than that is no reason to change
_NEVER = np.log(3.0)  # where an option does not get there, it counts as so much slower


@dataclass(frozen=True)
class Option:
    """A plan, a decoder and a rule, and what they are predicted to save.

    Attributes:
        name: in words.
        kind: the family that it is of.
        plan: who computes what.
        decoder: `decoder(plan, answered) -> weights`.
        rule: `rule(seconds) -> (seconds waited, answered)` of one round, where seconds
            (k,) are what the workers take under this plan's loads.
        parts: for an option of messages in parts, whose each message is: plan, decoder
            and rule are of messages as if each were a worker's. None otherwise.
        seconds_per_iteration: mean over the recorded rounds.
        relative_seconds: predicted time to a loss over that of waiting for all, a mean
            over kinds of data in which the worst has a fifth; the worst alone where
            that is slower than waiting for all.
        interval: 5 and 95 % quantile of it over resampled rounds: what the trace leaves
            unknown.
        by_data: the least and the largest over usual kinds of data and targets.
        relative_iterations: predicted iterations over those of exact gradients.
    """

    name: str
    kind: str
    plan: CodingPlan
    decoder: Decoder
    rule: rules.Rule
    seconds_per_iteration: float
    relative_seconds: float
    interval: tuple[float, float]
    by_data: tuple[float, float]
    relative_iterations: float
    parts: Split | None = None


class _Scores(NamedTuple):
    relative: Float[np.ndarray, " options"]
    by_rounds: Float[np.ndarray, "options 2"]
    by_data: Float[np.ndarray, "options 2"]
    objective: Float[np.ndarray, " options"]


def advise(
    trace: Trace,
    *,
    work_fraction: float | None = None,
    slope: ArrayLike | None = None,
    recorded_load: ArrayLike | None = None,
    capacity: float | None = None,
    num_partitions: int | None = None,
    in_parts: bool = False,
) -> list[Option]:
    """Ways to train on these workers, the one predicted to be soonest first.

    The first may be "wait for all": then nothing is gained by codes or deadlines.

    Args:
        trace: recorded latencies (`jgc.stragglers.load_trace`, `trace`).
        work_fraction: the part of the recorded seconds that is work at an even share
            1/k of the data, in [0, 1]; see `jgc.stragglers.with_load`.
        slope: instead, seconds for the whole data set on one worker, one or (k,).
        recorded_load: with `slope`, the share of the data that each worker had in the
            trace, one or (k,).
        capacity: the largest share of the data that a worker may hold, in (0, 1];
            by default all.
        num_partitions: n if the data is cut already; by default each option has its
            own, and deals the data out so that workers' gradients are alike.
        in_parts: whether workers can send a message for each partition when it is done,
            four or more for one, so that what a late one has finished counts. Where
            seconds are work that gains as much as any code (`jgc.codes.split`).

    Raises:
        ValueError: an argument out of its range, neither or both of `work_fraction` and
            `slope`, or a capacity that the data does not fit into.

    Example:
        >>> import jgc
        >>> rng = np.random.default_rng(0)
        >>> seconds = 1 + rng.exponential(0.05, (40, 4))
        >>> seconds[:, 3] += np.where(rng.random(40) < 0.3, 20.0, 0.0)  # often hangs
        >>> options = jgc.advise(jgc.stragglers.trace(seconds), work_fraction=0.1)
        >>> best = options[0]
        >>> waited, answered = best.rule([1.0, 1.1, 1.05, 21.0])
        >>> best.relative_seconds < 0.5, bool(waited < 3)
        (True, True)
    """
    latencies = with_load(
        trace, work_fraction=work_fraction, slope=slope, recorded_load=recorded_load
    )
    return search(
        latencies, capacity=capacity, num_partitions=num_partitions, in_parts=in_parts
    )


def search(
    latencies: LoadedTrace,
    *,
    capacity: float | None = None,
    num_partitions: int | None = None,
    in_parts: bool = False,
    progress: Progress | None = None,
) -> list[Option]:
    """As `advise`, of latencies whose growth with the load is known.

    Args:
        latencies: of `jgc.stragglers.with_load`.
        capacity: as in `advise`.
        num_partitions: as in `advise`.
        in_parts: as in `advise`.
        progress: `progress(part, what)`, called as the search goes on.

    Raises:
        ValueError: as in `advise`.

    Example:
        >>> from jgc.stragglers import trace, with_load
        >>> rows = trace(np.ones((5, 3)))  # nobody is ever late
        >>> search(with_load(rows, work_fraction=1.0))[0].name
        'wait for all'
    """
    tell = progress or (lambda part, what: None)
    k = latencies.recorded.num_workers
    most = 1.0 if capacity is None else _checks.scalar("capacity", capacity, 0, 1)
    n = (
        None
        if num_partitions is None
        else _checks.count("num_partitions", num_partitions)
    )
    least = 1 / min(k, n or k)
    if most < least * (1 - 1e-9):
        raise ValueError(
            f"capacity must be at least {least:.4g}, an even share of the data, got "
            f"{most:g}"
        )
    setting = Setting(latencies, most, n, in_parts)
    found: list[Candidate] = []
    for part, candidate in candidates(setting):
        found.append(candidate)
        tell(0.5 * part, candidate.kind)
    tell(0.5, "racing them")
    times = race([one.effect for one in found], draws=_SEARCH_DRAWS)
    scores = _scores(times, times[0], found)
    chosen = _finalists(found, scores.objective)
    tell(0.7, "building the best")
    built = []
    for i, one in enumerate(chosen):
        built.append(one.build())
        tell(0.7 + 0.2 * i / len(chosen), one.name)
    effects = [one.effect for one in chosen]
    times = race(effects, draws=_FINAL_DRAWS, seed=1)
    scores = _scores(times, times[0], chosen)
    exact = _iterations(times[0], effects[0])
    options = []
    # The first is waiting for all; what gains next to nothing comes after it.
    key = np.concatenate([[_WORTHWHILE], scores.relative[1:]])
    for i in np.argsort(key, kind="stable"):
        seconds = float(effects[i].waited.mean())
        iterations = float(np.median(_iterations(times[i], effects[i]) / exact))
        options.append(
            Option(
                name=chosen[i].name,
                kind=chosen[i].kind,
                **built[i]._asdict(),
                seconds_per_iteration=seconds,
                relative_seconds=float(scores.relative[i]),
                interval=_pair(scores.by_rounds[i]),
                by_data=_pair(scores.by_data[i]),
                relative_iterations=iterations,
            )
        )
    tell(1.0, "done")
    return options


def _iterations(times: Float[np.ndarray, "draws cases"], one: Effect) -> np.ndarray:
    seconds = one.waited.mean()
    # Where waiting for all never ends there is nothing to compare with.
    return times / seconds if 0 < seconds < np.inf else np.full(times.shape, np.nan)


def _pair(values: Float[np.ndarray, " 2"]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _scores(
    times: Float[np.ndarray, "options draws cases"],
    reference: Float[np.ndarray, "draws cases"],
    found: Sequence[Candidate],
) -> _Scores:
    """The prediction, and what finalists are chosen by."""
    # Rounds that take no time, or never end, still can be compared.
    some, never = 1e-12, 1e12
    ratio = np.log(np.clip(times, some, never)) - np.log(
        np.clip(reference, some, never)
    )
    ratio = np.minimum(ratio, _NEVER)
    usual = CASE_WEIGHTS.min() < CASE_WEIGHTS

    def hedged(cases: np.ndarray) -> np.ndarray:
        worst = cases[..., usual].max(-1)
        mean = (1 - _WORST) * cases @ CASE_WEIGHTS + _WORST * worst
        return np.where(worst > _ROUNDING, np.maximum(mean, worst), mean)

    by_case = ratio.mean(1)
    worst = by_case[:, usual].max(1)
    relative = hedged(by_case)
    # Draws after the first resample the rounds.
    drawn = hedged(ratio[:, 1:]) if ratio.shape[1] > 1 else hedged(ratio)
    handicap = np.log([one.handicap for one in found])
    return _Scores(
        np.exp(relative),
        np.exp(np.quantile(drawn, [0.05, 0.95], axis=1)).T,
        np.exp(np.stack([by_case[:, usual].min(1), worst], axis=1)),
        relative + handicap,
    )


def _finalists(
    found: Sequence[Candidate], objective: Float[np.ndarray, " options"]
) -> list[Candidate]:
    """Wait for all, the best of all, and the best of each kind."""
    order = np.argsort(objective, kind="stable")
    picked = [0]
    counts: dict[str, int] = {}
    for i in order:
        kind = found[i].kind
        counts[kind] = counts.get(kind, 0) + 1
        if i != 0 and counts[kind] <= _SHOWN_OF_A_KIND:
            picked.append(int(i))
    best_of_kind = {found[i].kind: i for i in reversed(picked)}
    first = picked[:_FINALISTS]
    kept = [0, *first, *best_of_kind.values()]
    return [found[i] for i in dict.fromkeys(kept)]
