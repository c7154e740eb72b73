"""The schemes that a config can name: a code, how it is decoded, and what it faces."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

import jgc
from jgc import codes, decoders
from jgc.decoders import Decoder
from jgc.design import Runnable, holds_option, load_option, load_plan
from jgc.gradients import GradientsLike

Probabilities = Float[np.ndarray, " k"]

# What decoders of training runs are designed for: half of ‖g‖² is common.
HALF_COMMON = jgc.gradients.common(0.5)
# And where the similarity is followed: parts of ‖g‖² that are common.
_FOLLOWED_PARTS = (0.0, 0.2, 0.5, 0.8, 1.0)


class Scheme(NamedTuple):
    """A code and its decoder.

    Attributes:
        title: in print, with the paper's name for it in parentheses.
        design: `design(p, n, key) -> plan`; only random codes look at the key.
        decoder: how its messages are decoded.
        waits_for_all: stragglers are waited for, so that no deadline changes it.
        designed: `designed(plan, gradients, key) -> decoder`, in place of `decoder`,
            where it is designed for the plan; only samples of masks look at the key.
    """

    title: str
    design: Callable[[Probabilities, int, Array], jgc.CodingPlan]
    decoder: jgc.decoders.Decoder = decoders.fixed
    waits_for_all: bool = False
    designed: Callable[[jgc.CodingPlan, GradientsLike, Array], Decoder] | None = None

    @property
    def is_fixed(self) -> bool:
        """Whether the plan's own weights decode."""
        return self.designed is None and self.decoder == decoders.fixed

    def decoder_for(
        self,
        plan: jgc.CodingPlan,
        *,
        gradients: GradientsLike = HALF_COMMON,
        key: Array | None = None,
    ) -> Decoder:
        """The decoder of its plan.

        Args:
            plan: of `design`.
            gradients: that decoders are designed for, where they are.
            key: for designs that sample masks.
        """
        if self.designed is None:
            return self.decoder
        return self.designed(plan, gradients, jax.random.key(0) if key is None else key)

    def follower_for(self, plan: jgc.CodingPlan) -> Decoder:
        """The same for any similarity of gradients, `at(ρ)`, where it is designed."""
        if self.designed is None:
            return self.decoder
        designs = [
            self.decoder_for(plan, gradients=jgc.gradients.common(part))
            for part in _FOLLOWED_PARTS
        ]
        return decoders.mixture(designs)


def _best(plan: jgc.CodingPlan, gradients: GradientsLike, key: Array) -> Decoder:
    return decoders.best_unbiased(plan, gradients=gradients, key=key)


def _straggler_free(p: Probabilities, n: int, key: Array) -> jgc.CodingPlan:
    return codes.straggler_free(p.size, num_partitions=n)


def _by_p(
    constructor: Callable[..., jgc.CodingPlan], **settings: Any
) -> Callable[[Probabilities, int, Array], jgc.CodingPlan]:
    return lambda p, n, key: constructor(p, num_partitions=n, **settings)


def _random(
    constructor: Callable[..., jgc.CodingPlan], **settings: Any
) -> Callable[[Probabilities, int, Array], jgc.CodingPlan]:
    return lambda p, n, key: constructor(p, num_partitions=n, key=key, **settings)


_UNBIASED = _by_p(codes.uncoded, unbiased=True)
_INTERVAL = _by_p(codes.interval)
# Baselines are at d ≈ 2, as in the paper.
_BERNOULLI = _random(codes.bernoulli_placement, replication=2)
_FRACTIONAL = _by_p(codes.fractional_repetition, replication=2)


def _expander(p: Probabilities, n: int, key: Array) -> jgc.CodingPlan:
    """Of the least degree that a graph on k vertices can have beyond a cycle's."""
    degree = min(3 if p.size % 2 == 0 else 4, p.size - 1)
    return codes.expander(p, num_partitions=n, replication=degree, key=key)


# Named as the constructors of `jgc.codes`, with the decoder where it is another.
SCHEMES: dict[str, Scheme] = {
    "straggler_free": Scheme("wait for all (GD)", _straggler_free, waits_for_all=True),
    "uncoded": Scheme("uncoded (IS-SGD)", _by_p(codes.uncoded)),
    "uncoded_mean": Scheme(
        "uncoded, mean of who answered", _by_p(codes.uncoded), decoders.normalised
    ),
    "uncoded_unbiased": Scheme("uncoded, unbiased", _UNBIASED),
    "uncoded_best": Scheme("uncoded, best unbiased", _UNBIASED, designed=_best),
    "scheme_i": Scheme("Scheme I", _by_p(codes.scheme_i)),
    "scheme_ii": Scheme("Scheme II", _by_p(codes.scheme_ii)),
    "interval": Scheme("interval", _INTERVAL),
    "interval_2_layers": Scheme("interval, 2 layers", _by_p(codes.interval, layers=2)),
    "interval_best": Scheme("interval, best unbiased", _INTERVAL, designed=_best),
    "interval_least_squares": Scheme(
        "interval, least squares", _INTERVAL, decoders.least_squares
    ),
    "sparse": Scheme("sparse", _by_p(codes.sparse)),
    "dense": Scheme("dense", _by_p(codes.dense)),
    "stochastic": Scheme("stochastic (SGC)", _random(codes.stochastic, replication=2)),
    "bernoulli_placement": Scheme("Bernoulli placement (BGC)", _BERNOULLI),
    "bernoulli_placement_one_step": Scheme(
        "Bernoulli placement, one step", _BERNOULLI, decoders.one_step(replication=2)
    ),
    "bernoulli_placement_least_squares": Scheme(
        "Bernoulli placement, least squares", _BERNOULLI, decoders.least_squares
    ),
    "fractional_repetition": Scheme("fractional repetition (EHD)", _FRACTIONAL),
    "fractional_repetition_representative": Scheme(
        "fractional repetition, one a group", _FRACTIONAL, decoders.representative
    ),
    "fractional_repetition_best": Scheme(
        "fractional repetition, best unbiased", _FRACTIONAL, designed=_best
    ),
    "fractional_repetition_balanced_best": Scheme(
        "balanced fractional repetition, best unbiased",
        _by_p(codes.fractional_repetition, replication=2, balanced=True),
        designed=_best,
    ),
    "random_graph": Scheme(
        "random graph (OD)", _random(codes.random_graph), decoders.graph
    ),
    "expander": Scheme("expander", _expander, decoders.normalised),
    "cyclic_repetition": Scheme(
        "cyclic repetition",
        _by_p(codes.cyclic_repetition, num_stragglers=1),
        decoders.least_squares,
    ),
}

# Beyond it, 2^k masks for each plan take longer than sampling.
MOST_WORKERS_TO_ENUMERATE = 14

# The plan in config.plan_file, which no p has to be drawn for.
PLAN_FILE = "plan_file"


def find_scheme(name: str, config: Any = None) -> Scheme:
    """The scheme of that name: one of `SCHEMES`, or what a file holds.

    Args:
        name: of the scheme.
        config: of the experiment, where the decoder that is in the file matters.
    """
    if name != PLAN_FILE:
        return SCHEMES[name]
    option = None if config is None else read_option(config)
    return _FROM_FILE if option is None else _FROM_FILE._replace(decoder=option.decoder)


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


def read_option(config: Any) -> Runnable | None:
    """What config.plan_file holds; None where that is a plan alone, or nothing.

    Raises:
        ValueError: the file holds something else.
        OSError: it cannot be read.
    """
    if not config.plan_file or not holds_option(config.plan_file):
        return None
    return load_option(config.plan_file)


def _read_instead(p: Probabilities, n: int, key: Array) -> jgc.CodingPlan:
    raise ValueError(f"scheme {PLAN_FILE} is read from config.plan_file, not designed")


_FROM_FILE = Scheme("plan from a file", _read_instead)


def draw_psi(
    key: jax.Array, num_workers: int, psi_min: float, psi_max: float
) -> Float[np.ndarray, " k"]:
    """ψ_i ~ U(psi_min, psi_max) of (23), one a worker."""
    draw = jax.random.uniform(key, (num_workers,), minval=psi_min, maxval=psi_max)
    return np.asarray(draw, np.float64)
