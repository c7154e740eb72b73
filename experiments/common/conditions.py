"""Who straggles in truth, and what the code is told of it: two things.

A code is designed for the p that it is told; the run faces a straggler model. By
default they agree. A wrong p, bursts and workers that straggle together then show what
they cost.
"""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from experiments.common.checks import listed, require, require_counts
from experiments.common.schemes import HALF_COMMON
from jgc import gradients, stragglers
from jgc._plan import CodingPlan
from jgc.design.rules import MEMORY, Rule, adaptive, as_stragglers, first
from jgc.gradients import SimilarityEstimator
from jgc.stragglers import LatencyModel, StragglerModel
from jgc.stragglers.estimation import Estimator, counting, forgetting
from jgc.training import Following

Probabilities = Float[np.ndarray, " k"]

# Of real processes that are late at a real deadline: nothing is drawn.
OBSERVED = "observed"
SHIFTED_EXPONENTIAL, TRACE = "shifted_exponential", "trace"

# model(p, settings), workers that straggle with these probabilities.
_OF_P: dict[str, Callable[[Probabilities, Any], StragglerModel]] = {
    "bernoulli": lambda p, settings: stragglers.bernoulli(p),
    "markov": lambda p, settings: stragglers.markov(p, mean_burst=settings.mean_burst),
    "common_factor": lambda p, settings: stragglers.common_factor(
        p, correlation=settings.correlation
    ),
    "shared_shocks": lambda p, settings: stragglers.shared_shocks(
        p, groups=np.asarray(settings.groups), shock=settings.shock
    ),
}
OF_P = tuple(_OF_P)
OF_SECONDS = (SHIFTED_EXPONENTIAL, TRACE)
MODELS = (*OF_P, *OF_SECONDS, OBSERVED)

_ESTIMATORS: dict[str, Callable[[int, float], Estimator]] = {
    "counting": lambda k, memory: counting(k),
    "forgetting": lambda k, memory: forgetting(k, memory=memory),
}


def add_truth(config: ConfigDict) -> None:
    """Adds p and `stragglers` to a config: what its runs face."""
    # Given outright: instead of deadlines and ψ, and of a plan file's.
    config.p = ()

    config.stragglers = ConfigDict()  # what the run faces
    config.stragglers.model = "bernoulli"
    config.stragglers.mean_burst = 5.0  # markov: iterations that a burst takes
    config.stragglers.correlation = 0.3  # common_factor: of the normal variables
    config.stragglers.groups = ()  # shared_shocks: the group of each worker, from 0
    config.stragglers.shock = 0.05  # shared_shocks: how often a group is hit
    config.stragglers.shift = 1.0  # shifted_exponential: the time that nobody beats
    # trace: of seconds, a row a round; the deadlines are in seconds then. Seconds are
    # as recorded, whatever a code's load: experiments.replay counts the load.
    config.stragglers.trace = ""
    config.stragglers.missing_is_late = False  # empty cells never came


def add_belief(config: ConfigDict) -> None:
    """Adds `believed` to a config: what its codes are told."""
    config.believed = ConfigDict()  # what the code is told; as it is: the truth's p
    config.believed.p = ()  # outright
    config.believed.odds = 1.0  # else the odds p/(1 − p) are multiplied by this
    config.believed.noise = 0.0  # and by e^N(0, noise²), drawn for each seed and worker


def add_following(config: ConfigDict) -> None:
    """Adds `following` to a config."""
    config.following = ConfigDict()  # p estimated in the run, and codes re-designed
    config.following.estimator = ""  # counting or forgetting; empty: nothing is
    config.following.memory = 100.0  # iterations that forgetting remembers
    config.following.every = 10  # iterations between looks at the estimate
    config.following.tolerance = 0.1  # see jgc.design.redesign
    # Iterations between looks at ρ of the partition gradients, each of which computes
    # two gradients; 0: none. Decoders that are designed for ρ then follow it.
    config.following.similarity_every = 0


def add_adaptive(config: ConfigDict) -> None:
    """Adds `adaptive` to a config: deadlines that follow the workers' speed."""
    # A round is waited for as long as so many answers took, in the median of the last
    # rounds, as p says come by the deadline; see `jgc.design.rules.adaptive`. Not of
    # plan_file's own rule, which may be such a one itself.
    config.adaptive = ConfigDict()
    config.adaptive.at_most = 0.0  # seconds that no round exceeds; 0: deadlines stay
    config.adaptive.least = 0.5  # of these answers, without which no round ends before
    config.adaptive.window = 5  # rounds that the deadline follows


def check_adaptive(config: ConfigDict) -> None:
    """Checks what `add_adaptive` added.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    model = config.stragglers.model
    has_seconds = model in OF_SECONDS or (model == OBSERVED and config.ray.deadline > 0)
    require(
        config,
        "adaptive.at_most",
        lambda value: value == 0 or (has_seconds and 0 < value < math.inf),
        f"0, or above 0 where stragglers.model is one of {listed(OF_SECONDS)}, or "
        f"{OBSERVED} with a ray.deadline",
    )
    require(config, "adaptive.least", lambda value: 0 < value <= 1, "above 0, up to 1")
    require(
        config, "adaptive.window", lambda value: 1 <= value <= MEMORY, f"1 to {MEMORY}"
    )


def adaptive_rule(config: Any, plan: CodingPlan, p: Probabilities) -> Rule | None:
    """The rule in the place of a deadline; None where deadlines stay.

    Args:
        config: with `adaptive`.
        plan: of the run.
        p: how often each worker misses the deadline when nothing has changed.
    """
    settings = config.adaptive
    if not settings.at_most:
        return None
    most = int((plan.batch_sizes > 0).sum())
    count = int(np.clip(np.round((1 - p).sum()), 1, most))
    return adaptive(
        plan,
        first(plan, count),
        least=max(1, int(settings.least * count)),
        at_most=settings.at_most,
        window=settings.window,
    )


def check_truth(config: ConfigDict, models: Collection[str] = MODELS) -> None:
    """Checks what `add_truth` added, for any `num_workers`.

    Args:
        config: of the experiment.
        models: those that it can draw from.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    model = config.stragglers.model
    require(config, "stragglers.model", models.__contains__, listed(models))
    # Their own constructors check the numbers of models of p.
    require(
        config,
        "stragglers.groups",
        lambda groups: model != "shared_shocks" or _is_of_each_worker(config, groups),
        f"the group of each of the {config.num_workers} workers, integers from 0",
    )
    require(
        config,
        "stragglers.trace",
        lambda path: bool(path) == (model == TRACE),
        f"a file where stragglers.model is {TRACE}, empty otherwise",
    )
    _require_probabilities(config, "p")
    require(
        config,
        "p",
        lambda p: not len(p) or model not in OF_SECONDS,
        f"empty where stragglers.model is {model}, which has p of its own",
    )


def check_belief(config: ConfigDict) -> None:
    """Checks what `add_belief` added.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    _require_probabilities(config, "believed.p")
    require(config, "believed.odds", lambda value: 0 < value < math.inf, "above 0")
    require(config, "believed.noise", lambda value: 0 <= value < math.inf, "at least 0")
    require(
        config,
        "believed.p",
        lambda p: (
            not len(p) or (config.believed.odds == 1 and config.believed.noise == 0)
        ),
        "() where believed.odds or believed.noise changes the truth's",
    )


def check_following(config: ConfigDict) -> None:
    """Checks what `add_following` added.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    require(
        config,
        "following.estimator",
        lambda name: not name or name in _ESTIMATORS,
        f"empty, or one of {listed(_ESTIMATORS)}",
    )
    require_counts(config, "following.every")
    require(config, "following.memory", lambda value: value > 1, "above 1")
    require(config, "following.tolerance", lambda value: value >= 0, "at least 0")
    require(
        config,
        "following.similarity_every",
        lambda value: value >= 0,
        "at least 0, where 0 is never",
    )


def _require_probabilities(config: ConfigDict, key: str) -> None:
    require(
        config,
        key,
        lambda p: (
            not len(p)
            or (_is_of_each_worker(config, p) and all(0 <= one <= 1 for one in p))
        ),
        f"() or num_workers = {config.num_workers} numbers in [0, 1]",
    )


def _is_of_each_worker(config: ConfigDict, values: Sequence[float]) -> bool:
    """Whether there is one for each, in an experiment of one or several k."""
    return set(np.atleast_1d(config.num_workers)) == {len(values)}


def has_deadlines(config: Any) -> bool:
    """Whether p comes with a deadline; else it is given, and holds for all runs."""
    model = config.stragglers.model
    is_given = config.p or (config.plan_file and model not in OF_SECONDS)
    return not (is_given or model == OBSERVED)


def in_truth(
    config: Any,
    *,
    psi: Float[np.ndarray, " k"],
    deadline: float | None,
    rule: Rule | None = None,
    from_file: Probabilities | None,
    seed: int,
) -> StragglerModel | None:
    """The straggler model of a run; None where real processes are observed.

    Args:
        config: with `stragglers` and p.
        psi: of (23).
        deadline: τ_th, None where p or a rule is given.
        rule: in the place of a deadline, where the model is of seconds.
        from_file: p of a plan file, if there is one.
        seed: of the choice of workers from a longer trace.

    Raises:
        ValueError: the model cannot have these p, or the trace is none.
        OSError: the trace cannot be read.
    """
    settings = config.stragglers
    if settings.model == OBSERVED:
        return None
    if settings.model in OF_SECONDS:
        latencies = in_seconds(config, psi=psi, seed=seed)
        if rule is not None:
            return as_stragglers(latencies, rule)
        assert deadline is not None
        return stragglers.at_deadline(latencies, deadline)
    if config.p:
        p = np.asarray(config.p, np.float64)
    elif from_file is not None:
        p = from_file
    else:
        assert deadline is not None
        p = stragglers.deadline_probabilities(psi, deadline=deadline)
    return model_of(config, p)


def in_seconds(config: Any, *, psi: Float[np.ndarray, " k"], seed: int) -> LatencyModel:
    """How long the workers of a run take, where config.stragglers.model is of seconds.

    Args:
        config: with `stragglers`.
        psi: of (23).
        seed: of the choice of workers from a longer trace.

    Raises:
        ValueError: the trace is none.
        OSError: it cannot be read.
    """
    settings = config.stragglers
    if settings.model == TRACE:
        return stragglers.replay(_trace_of(config, seed), random_start=True)
    return stragglers.shifted_exponential(psi, shift=settings.shift)


def model_of(config: Any, p: Probabilities) -> StragglerModel:
    """Workers that straggle with these p, by the config's model, one of `OF_P`.

    Raises:
        ValueError: the model cannot have these p.
    """
    return _OF_P[config.stragglers.model](p, config.stragglers)


def _trace_of(config: Any, seed: int) -> stragglers.Trace:
    """As many workers of the trace as the config has, drawn by the seed."""
    path, k = config.stragglers.trace, config.num_workers
    found = stragglers.load_trace(
        path, missing_is_late=config.stragglers.missing_is_late
    )
    if found.num_workers < k:
        raise ValueError(
            f"config.num_workers = {k}; accepted: at most {found.num_workers}, the "
            f"workers of config.stragglers.trace = {path}"
        )
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(found.num_workers, k, replace=False))
    return found._replace(
        latencies=found.latencies[:, chosen],
        workers=tuple(found.workers[i] for i in chosen),
    )


def believed(
    config: Any,
    truth: StragglerModel | None,
    *,
    from_file: Probabilities | None,
    key: Array,
) -> Probabilities:
    """p as the code is told: given, or the plan file's, or the truth's, off or not.

    Args:
        config: with `believed`.
        truth: of `in_truth`.
        from_file: p of a plan file, if there is one.
        key: of the noise, a JAX random key.
    """
    if config.believed.p:
        return np.asarray(config.believed.p, np.float64)
    if from_file is not None:
        return told(config, np.asarray(from_file, np.float64), key=key)
    assert truth is not None
    assert truth.probabilities is not None
    return told(config, np.asarray(truth.probabilities(), np.float64), key=key)


def is_dependent(config: Any) -> bool:
    """Whether workers straggle together, within an iteration."""
    return config.stragglers.model in ("common_factor", "shared_shocks", TRACE)


def is_off(config: Any) -> bool:
    """Whether the codes may be told another p than the truth's."""
    settings = config.believed
    return bool(settings.p) or settings.odds != 1 or settings.noise != 0


def told(config: Any, p: Probabilities, *, key: Array) -> Probabilities:
    """What a code is told where the truth is p: that, or what `believed` makes of it.

    Args:
        config: with `believed`.
        p: how often each worker straggles.
        key: of the noise, a JAX random key.
    """
    if not is_off(config):
        return p
    settings = config.believed
    if settings.p:
        return np.asarray(settings.p, np.float64)
    draws = np.asarray(jax.random.normal(key, p.shape), np.float64)
    factor = settings.odds * np.exp(settings.noise * draws)
    return factor * p / (1 - p + factor * p)


def similarity(config: Any) -> SimilarityEstimator | None:
    """How ρ is followed from what decoders are designed for; None if it is not."""
    every = config.following.similarity_every
    if not every:
        return None
    guess = gradients.as_similarity(HALF_COMMON, config.num_partitions)
    return gradients.following(first_guess=guess, every=every)


def following(config: Any) -> Following | None:
    """How p is followed, None if it is not."""
    settings = config.following
    if not settings.estimator:
        return None
    return Following(
        estimator=_ESTIMATORS[settings.estimator](config.num_workers, settings.memory),
        every=settings.every,
        tolerance=settings.tolerance,
    )
