"""The schemes that a config can name: a code, how it is decoded, and what it faces."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

import jgc
from jgc import codes, decoders
from jgc.design import load_plan

Probabilities = Float[np.ndarray, " k"]


class Scheme(NamedTuple):
    """A code and its decoder.

    Attributes:
        design: `design(p, n, key) -> plan`; only random codes look at the key.
        decoder: how its messages are decoded.
        waits_for_all: stragglers are waited for, so that no deadline changes it.
        decoding: in print, where the code's name alone would mean the fixed decoder.
    """

    design: Callable[[Probabilities, int, Array], jgc.CodingPlan]
    decoder: jgc.decoders.Decoder = decoders.fixed
    waits_for_all: bool = False
    decoding: str = ""

    def title(self, plan: jgc.CodingPlan) -> str:
        """The code and its decoder in print."""
        return f"{plan.name}, {self.decoding}" if self.decoding else plan.name


# Baselines are at d ≈ 2, as in the paper.
SCHEMES: dict[str, Scheme] = {
    "gd": Scheme(
        lambda p, n, key: codes.straggler_free(p.size, num_partitions=n),
        waits_for_all=True,
    ),
    "is_sgd": Scheme(lambda p, n, key: codes.uncoded(p, num_partitions=n)),
    "scheme_i": Scheme(lambda p, n, key: codes.scheme_i(p, num_partitions=n)),
    "scheme_ii": Scheme(lambda p, n, key: codes.scheme_ii(p, num_partitions=n)),
    "interval": Scheme(lambda p, n, key: codes.interval(p, num_partitions=n)),
    "interval_2_layers": Scheme(
        lambda p, n, key: codes.interval(p, num_partitions=n, layers=2)
    ),
    "sparse": Scheme(lambda p, n, key: codes.sparse(p, num_partitions=n)),
    "dense": Scheme(lambda p, n, key: codes.dense(p, num_partitions=n)),
    "sgc": Scheme(
        lambda p, n, key: codes.stochastic(p, num_partitions=n, key=key, replication=2)
    ),
    "bgc": Scheme(
        lambda p, n, key: codes.bernoulli_placement(
            p, num_partitions=n, key=key, replication=2
        )
    ),
    "bgc_one_step": Scheme(
        lambda p, n, key: codes.bernoulli_placement(
            p, num_partitions=n, key=key, replication=2
        ),
        decoders.one_step(replication=2),
        decoding="one step",
    ),
    "bgc_optimal": Scheme(
        lambda p, n, key: codes.bernoulli_placement(
            p, num_partitions=n, key=key, replication=2
        ),
        decoders.least_squares,
        decoding="least squares",
    ),
    "ehd": Scheme(
        lambda p, n, key: codes.fractional_repetition(
            p, num_partitions=n, replication=2
        )
    ),
    "ehd_representative": Scheme(
        lambda p, n, key: codes.fractional_repetition(
            p, num_partitions=n, replication=2
        ),
        decoders.representative,
        decoding="one a group",
    ),
    "od": Scheme(
        lambda p, n, key: codes.random_graph(p, num_partitions=n, key=key),
        decoders.graph,
    ),
    "cyclic": Scheme(
        lambda p, n, key: codes.cyclic_repetition(
            p, num_partitions=n, num_stragglers=1
        ),
        decoders.least_squares,
    ),
    "interval_least_squares": Scheme(
        lambda p, n, key: codes.interval(p, num_partitions=n),
        decoders.least_squares,
        decoding="least squares",
    ),
}

# Beyond it, 2^k masks for each plan take longer than sampling.
MOST_WORKERS_TO_ENUMERATE = 14

# The plan in config.plan_file, which no p has to be drawn for.
PLAN_FILE = "plan_file"


def find_scheme(name: str) -> Scheme:
    """The scheme of that name: one of `SCHEMES`, or the plan in a file."""
    return _FROM_FILE if name == PLAN_FILE else SCHEMES[name]


def read_plan(config: Any) -> jgc.CodingPlan:
    """The plan in config.plan_file.

    Raises:
        ValueError: the file holds no plan, or one of other sizes than the config's.
        OSError: it cannot be read.
    """
    plan = load_plan(config.plan_file)
    for key in ("num_workers", "num_partitions"):
        if getattr(plan, key) != config[key]:
            raise ValueError(
                f"config.{key} = {config[key]}; accepted: {getattr(plan, key)}, that "
                f"of config.plan_file = {config.plan_file}"
            )
    return plan


def _read_instead(p: Probabilities, n: int, key: Array) -> jgc.CodingPlan:
    raise ValueError(f"scheme {PLAN_FILE} is read from config.plan_file, not designed")


_FROM_FILE = Scheme(_read_instead)


def draw_psi(
    key: jax.Array, num_workers: int, psi_min: float, psi_max: float
) -> Float[np.ndarray, " k"]:
    """ψ_i ~ U(psi_min, psi_max) of (23), one a worker."""
    draw = jax.random.uniform(key, (num_workers,), minval=psi_min, maxval=psi_max)
    return np.asarray(draw, np.float64)
