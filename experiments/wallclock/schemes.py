"""The schemes that `experiments.wallclock` runs against the clock.

Each has settings, among which a rehearsal chooses: a deadline, how many are waited for,
or how many hold the same data.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

import jgc
from experiments.common import conditions
from experiments.common.schemes import SCHEMES
from jgc import codes, decoders
from jgc.design import redesign, rules
from jgc.stragglers import LoadedTrace
from jgc.stragglers.estimation import forgetting
from jgc.training import Following

WAIT_FOR_ALL, FOLLOWING = "straggler_free", "interval_following"
BACKUP, EXACT = "backup_workers", "fractional_repetition_exact"
# With deadlines, as the others are without.
_BY_DEADLINE = (
    "uncoded_mean",
    "uncoded",
    "stochastic",
    "fractional_repetition",
    "random_graph",
    "scheme_i",
    "scheme_ii",
    "interval",
    "interval_best",
    "fractional_repetition_best",
)
TITLES = {
    WAIT_FOR_ALL: SCHEMES[WAIT_FOR_ALL].title,
    BACKUP: "uncoded, mean of the first m",
    EXACT: "fractional repetition, exact",
    **{name: SCHEMES[name].title for name in _BY_DEADLINE},
    FOLLOWING: "interval, following p",
}
NAMES = tuple(TITLES)


class Entry(NamedTuple):
    """A scheme as it is run.

    Attributes:
        plan: who computes what.
        decoder: how messages are decoded.
        rule: how long is waited.
        setting: in words.
        following: how p is followed, where it is.
    """

    plan: jgc.CodingPlan
    decoder: decoders.Decoder
    rule: rules.Rule
    setting: str
    following: Following | None = None


def entries(name: str, seen: LoadedTrace, config: Any, seed: int) -> Iterator[Entry]:
    """The settings of a scheme.

    Codes are told the p of the rounds that were seen, unless `config.believed` says
    otherwise.

    Args:
        name: of the scheme.
        seen: rounds before the run.
        config: of the experiment.
        seed: of random codes.

    Raises:
        ValueError: a plan is infeasible.
    """
    k, n = config.num_workers, config.num_partitions
    if name == WAIT_FOR_ALL:
        plan = codes.straggler_free(k, num_partitions=n)
        yield Entry(plan, decoders.fixed, rules.everyone(plan), "everyone")
    elif name == BACKUP:
        plan = codes.uncoded(np.zeros(k), num_partitions=n)
        for count in range(1, max(2, int((plan.batch_sizes > 0).sum()))):
            rule = rules.first(plan, count)
            yield Entry(plan, decoders.rescaled, rule, f"m = {count}")
    elif name == EXACT:
        for d in (d for d in config.replications if d <= k):
            # Half late: who is slow is mixed with who is fast.
            seconds = seen.seconds(d / k)
            p = seen.probabilities(d / k, float(np.median(seconds)))
            plan = codes.fractional_repetition(
                p, num_partitions=n, replication=d, balanced=True
            )
            rule = rules.coverage(plan)
            yield Entry(plan, decoders.representative, rule, f"d = {d}")
    else:
        for units in config.deadlines:
            deadline = units * config.time_unit
            entry = _by_deadline(name, seen, deadline, config, seed)
            yield entry._replace(setting=f"{deadline:.3g} s")


def _by_deadline(
    name: str, seen: LoadedTrace, deadline: float, config: Any, seed: int
) -> Entry:
    k, n = config.num_workers, config.num_partitions
    if name == FOLLOWING:
        # From p = ½ for everyone and two layers, whose placement leaves room to move.
        plan = codes.interval(np.full(k, 0.5), num_partitions=n, layers=2)
        following = Following(
            estimator=forgetting(k, memory=config.memory), every=config.redesign_every
        )
        rule = rules.deadline(plan, deadline)
        return Entry(plan, decoders.fixed, rule, "", following)
    scheme = SCHEMES[name]
    key = jax.random.key(seed)

    def told(batch_sizes: np.ndarray) -> np.ndarray:
        # What Ray and the driver take is missing from the deadline.
        late = seen.probabilities(batch_sizes / n, deadline - config.overhead)
        return conditions.told(config, late, key=jax.random.fold_in(key, 1))

    plan = scheme.design(told(np.full(k, n / k)), n, key)
    # Who holds more is late more often: the coefficients are made for that.
    p = told(plan.batch_sizes)
    again = scheme.design(p, n, key)
    if (again.batch_sizes != plan.batch_sizes).any():
        again = redesign(plan, p, tolerance=0.0)
    decoder = scheme.decoder_for(again)
    return Entry(again, decoder, rules.deadline(again, deadline), "")
