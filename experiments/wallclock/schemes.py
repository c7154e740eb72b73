"""The schemes that `experiments.wallclock` runs against the clock."""

from typing import Any, NamedTuple

import jax
import numpy as np

import jgc
from experiments.common import conditions
from experiments.common.schemes import SCHEMES
from experiments.wallclock.problem import Machines
from jgc.design import redesign
from jgc.distributed import Policy, fixed_deadline, wait_for
from jgc.stragglers.estimation import forgetting
from jgc.training import Following

WAIT_FOR_ALL, FOLLOWING = "straggler_free", "interval_following"
NAMES = (
    WAIT_FOR_ALL,
    "uncoded",
    "stochastic",
    "fractional_repetition",
    "random_graph",
    "scheme_i",
    "scheme_ii",
    "interval",
    FOLLOWING,
)


TITLES = {
    name: "interval, following p" if name == FOLLOWING else SCHEMES[name].title
    for name in NAMES
}


class Entry(NamedTuple):
    """A scheme as it is run."""

    plan: jgc.CodingPlan
    decoder: jgc.decoders.Decoder
    policy: Policy
    following: Following | None = None


def make_entry(name: str, machines: Machines, config: Any, seed: int) -> Entry:
    """The scheme's plan for the machines, and how its driver waits.

    All but the following one are told p, the true one unless `config.believed` says
    otherwise. It starts from p = ½ for everyone and
    two layers, whose placement leaves room to move, and learns the rest.
    """
    k, n = config.num_workers, config.num_partitions
    if name == WAIT_FOR_ALL:
        plan = jgc.codes.straggler_free(k, num_partitions=n)
        return Entry(plan, jgc.decoders.fixed, wait_for(k))
    deadline = config.deadline * config.time_unit
    policy = fixed_deadline(deadline)
    if name == FOLLOWING:
        plan = jgc.codes.interval(np.full(k, 0.5), num_partitions=n, layers=2)
        following = Following(
            estimator=forgetting(k, memory=config.memory), every=config.redesign_every
        )
        return Entry(plan, jgc.decoders.fixed, policy, following)
    scheme = SCHEMES[name]
    key = jax.random.key(seed)
    left = deadline - config.overhead

    def told(batch_sizes: np.ndarray) -> np.ndarray:
        late = machines.late(batch_sizes, n, left)
        return conditions.told(config, late, key=jax.random.fold_in(key, 1))

    plan = scheme.design(told(np.full(k, n / k)), n, key)
    # Who holds more is late more often: the coefficients are made for that.
    p = told(plan.batch_sizes)
    again = scheme.design(p, n, key)
    if (again.batch_sizes != plan.batch_sizes).any():
        again = redesign(plan, p, tolerance=0.0)
    return Entry(again, scheme.decoder_for(again), policy)
