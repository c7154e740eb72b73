"""Which way to train is soonest, over what machines and data are like: a picture.

The prediction is that of `jgc.advise`: options are played over rounds and raced on the
adviser's reference problem. Here the rounds are drawn: every worker takes about a
second for an even share, and with probability p_i some two seconds more.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats
from matplotlib.figure import Figure
from matplotlib.patches import Patch

import jgc
from jgc.design._library_candidates import _settled
from jgc.design._race import Effect, Regime, effect, race
from jgc.stragglers import LoadedTrace, trace, with_load

ROUNDS, MEAN_P = 40, 0.1
WORK = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)  # part of the seconds that is work
SPREAD = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 0.95)  # of p: 0 all alike, 1 some always late
UNLIKE = (2e-4, 1e-3, 4e-3, 1.6e-2, 6e-2, 0.25)  # gap left by sampling, over the first
WORKERS = (4, 8, 16, 32, 64, 128)
USUAL = {"spread": 0.3, "unlike": 4e-3, "k": 16}
QUANTILES = (0.5, 0.6, 0.7, 0.8, 0.88, 0.94, 0.98)
WORTH = 0.95  # of the time without a code: less is no reason for one

WAIT, IGNORE, REPEAT, INTERVAL = range(4)
NAMES = (
    "wait for all",
    "no code: ignore the late, rescale",
    "fractional repetition, exact",
    "interval code, until a deadline",
)
COLOURS = ("#9aa3ad", "#d9a441", "#2f6aa8", "#4b8b5a")
DARK = (REPEAT, INTERVAL)  # of these colours: what is written on them is white


class Contest(NamedTuple):
    """Options on the same machines.

    Attributes:
        families: of each option.
        effects: of each on training.
    """

    families: list[int]
    effects: list[Effect]


def machines(k: int, spread: float, work: float) -> LoadedTrace:
    """Rounds of k workers whose p_i have the mean 0.1 and this spread."""
    rng = np.random.default_rng(0)
    place = (np.arange(k) + 0.5) / k
    if spread == 0:
        p = np.full(k, MEAN_P)
    else:  # the variance is spread² of that of 0s and 1s
        total = 1 / spread**2 - 1
        p = scipy.stats.beta(MEAN_P * total, (1 - MEAN_P) * total).ppf(place)
        p *= MEAN_P / p.mean()
    seconds = 1 + rng.exponential(0.1, (ROUNDS, k))
    late = rng.random((ROUNDS, k)) < np.minimum(p, 1)
    seconds += late * rng.exponential(2.0, (ROUNDS, k))
    return with_load(trace(seconds), work_fraction=work)


def contest(latencies: LoadedTrace) -> Contest:
    """Every option, each at a range of settings."""
    k = latencies.recorded.num_workers
    even = latencies.seconds(1 / k)
    exact = np.ones((ROUNDS, k))
    found = [(WAIT, effect(even.max(1), exact))]
    ordered = np.sort(even, axis=1)
    for share in QUANTILES:
        tau = np.full(ROUNDS, np.quantile(even, share))
        first = ordered[:, min(int(np.ceil(share * k)), k - 1) - 1]
        for waited in (np.minimum(tau, even.max(1)), first):
            came = even <= waited[:, None]
            scaled = came * (k / np.maximum(came.sum(1, keepdims=True), 1))
            found.append((IGNORE, effect(waited, scaled)))
    usual = np.argsort(np.median(even, axis=0))
    for d in (d for d in (2, 4, 8, 16, 32, 64, 128) if d <= k):
        groups = latencies.seconds(d / k)[:, usual].reshape(ROUNDS, d, k // d)
        found.append((REPEAT, effect(groups.min(1).max(1), exact)))

    def interval(p: np.ndarray) -> jgc.CodingPlan:
        return jgc.codes.interval(p, num_partitions=4 * k)

    for share in QUANTILES:
        tau = float(np.quantile(even, share))
        plan = _settled(latencies, interval, tau, 1 / k)
        seconds = latencies.seconds(plan.batch_sizes / plan.num_partitions)
        came = (seconds <= tau) & (plan.batch_sizes > 0)
        coefficients = (came * np.asarray(plan.weights)) @ plan.encoding_matrix()
        waited = np.minimum(tau, seconds[:, plan.batch_sizes > 0].max(1))
        found.append((INTERVAL, effect(waited, coefficients)))
    return Contest([family for family, _ in found], [one for _, one in found])


def soonest(
    contests: list[Contest], unlike: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each contest and kind of data: who is soonest, how soon, and without a code.

    Times are over that of waiting for all, geometric means of those to 1 % and 0.1 % of
    the initial gap.
    """
    effects = [one for each in contests for one in each.effects]
    regimes = tuple(Regime(value, 0.0) for value in unlike)
    times = np.log(race(effects, draws=4, regimes=regimes)).mean(1)
    times = times.reshape(len(effects), -1, len(unlike)).mean(1)
    winner = np.empty((len(contests), len(unlike)), int)
    least, plain = np.empty(winner.shape), np.empty(winner.shape)
    start = 0
    for number, each in enumerate(contests):
        own = times[start : start + len(each.effects)]
        start += len(each.effects)
        own, families = own - own[0], np.array(each.families)
        winner[number] = families[own.argmin(0)]
        least[number] = np.exp(own.min(0))
        plain[number] = np.exp(own[families <= IGNORE].min(0))
    return winner, least, plain


def phases() -> Figure:
    """Three maps: down what scales with the load, across what else decides."""
    k, spread, unlike = USUAL["k"], USUAL["spread"], USUAL["unlike"]
    across = {
        "how unequal the workers' $p_i$ are": (
            SPREAD,
            [contest(machines(int(k), x, w)) for w in WORK for x in SPREAD],
        ),
        "how unlike the partitions are": (
            UNLIKE,
            [contest(machines(int(k), spread, w)) for w in WORK],
        ),
        "how many workers there are, k": (
            WORKERS,
            [contest(machines(x, spread, w)) for w in WORK for x in WORKERS],
        ),
    }
    figure = Figure((9.4, 4.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (label, (values, contests)) in zip(panels, across.items(), strict=True):
        kinds = UNLIKE if values is UNLIKE else (unlike,)
        shape = len(WORK), len(values)
        winner, least, plain = (x.reshape(shape) for x in soonest(contests, kinds))
        for (row, column), family in np.ndenumerate(winner):
            best, without = least[row, column], plain[row, column]
            # A code that gains next to nothing on no code is pale.
            strength = 0.35 if family >= REPEAT and best > WORTH * without else 0.9
            axes.fill_between(
                [column - 0.5, column + 0.5], row - 0.5, row + 0.5,
                color=COLOURS[family], alpha=strength, linewidth=0,
            )  # fmt: skip
            ink = "white" if family in DARK and strength > 0.5 else None
            axes.text(
                column, row, f"{best:.2f}",
                ha="center", va="center", fontsize=7.5, color=ink,
            )  # fmt: skip
        axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(-0.5, shape[0] - 0.5))
        axes.set_xticks(range(shape[1]), [f"{x:g}" for x in values], fontsize=8)
        axes.set_yticks(range(shape[0]), [f"{w:g}" for w in WORK], fontsize=8)
        axes.set_xlabel(label)
    panels[0].set_ylabel("part of the seconds that is work")
    handles = [
        Patch(color=c, label=name) for c, name in zip(COLOURS, NAMES, strict=True)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=9)
    return figure
