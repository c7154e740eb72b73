"""What `experiments.wallclock` trains, and the machines that it imitates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.common.schemes import draw_psi
from jgc.stragglers import LoadedTrace, Trace, load_trace, trace, with_load

SignedFeatures = dict[str, np.ndarray]


class ClockProblem(NamedTuple):
    """Logistic regression: little to compute, so that the delays decide.

    Attributes:
        examples: features and the sign to predict.
        partition: of each example.
        params: to start from.
        least_loss: L*, of any parameters.
    """

    examples: SignedFeatures
    partition: np.ndarray
    params: Float[np.ndarray, " d"]
    least_loss: float


def make_problem(config: Any) -> ClockProblem:
    """Random data whose partitions differ: a biased code settles elsewhere."""
    rng = np.random.default_rng(config.seed)
    size, dimension, n = config.num_examples, config.dimension, config.num_partitions
    partition = np.arange(size) * n // size
    common = rng.normal(size=dimension)
    own = common + config.diversity * rng.normal(size=(n, dimension))
    features = rng.normal(size=(size, dimension))
    features *= np.geomspace(1, config.least_scale, dimension)
    margin = np.einsum("nd,nd->n", features, own[partition]) / np.sqrt(dimension)
    sign = np.where(rng.logistic(size=size) < 2 * margin, 1, -1)
    examples = {
        "features": features.astype(np.float32),
        "sign": sign.astype(np.float32),
    }
    params = np.zeros(dimension, np.float32)
    return ClockProblem(examples, partition, params, _least_loss(examples, params))


def _least_loss(examples: SignedFeatures, params: Float[np.ndarray, " d"]) -> float:
    """By Newton's method on all the data."""

    @jax.jit
    def newton(params: Array) -> Array:
        return params - jnp.linalg.solve(
            jax.hessian(mean_loss)(params, examples),
            jax.grad(mean_loss)(params, examples),
        )

    best = jnp.asarray(params)
    for _ in range(20):
        best = newton(best)
    return float(mean_loss(best, examples))


def loss(params: Array, examples: SignedFeatures) -> Float[Array, " N"]:
    """The logistic losses of the examples, with a ridge that makes a minimum."""
    margin = examples["sign"] * (examples["features"] @ params)
    return jax.nn.softplus(-margin) + 5e-3 * (params**2).sum()


@jax.jit
def mean_loss(params: Float[Array, " d"], examples: SignedFeatures) -> Float[Array, ""]:
    """The training loss."""
    return loss(params, examples).mean()


class Machines(NamedTuple):
    """What the workers take, in seconds that know the load.

    Attributes:
        rehearsal: rounds before the run, by which plans, rules and step sizes are made.
        run: the rounds of the run; beyond the end of it, "never".
    """

    rehearsal: LoadedTrace
    run: LoadedTrace


def make_machines(config: Any, seed: int) -> Machines:
    """The machines of a seed; every scheme meets the same rounds.

    Shifted exponential (23) in units of config.time_unit: `compute` for an even share
    of the data, in proportion for another, and a tail that knows no load, with ψ_i for
    worker i's rate. Or a recorded trace, whose least latency is taken for the
    computation of an even share; the rehearsal has the first half of its rounds.

    Raises:
        ValueError: the trace has too few workers or rounds, or is no trace.
        OSError: it cannot be read.
    """
    if config.trace:
        return _from_trace(
            load_trace(config.trace, missing_is_late=config.missing_is_late),
            config,
            seed,
        )
    psi_key, tail_key, rehearsal_key = jax.random.split(jax.random.key(seed), 3)
    psi = draw_psi(psi_key, config.num_workers, config.psi_min, config.psi_max)
    compute = config.time_unit * config.compute

    def rounds(key: Array) -> LoadedTrace:
        # Keys by iteration: a longer run sees the same beginning.
        keys = jax.vmap(lambda t: jax.random.fold_in(key, t))(
            jnp.arange(config.most_iterations)
        )
        draws = jax.vmap(lambda key: jax.random.exponential(key, psi.shape))(keys)
        tail = config.time_unit * np.asarray(draws, np.float64) / psi
        return _loaded(compute, tail, config)

    return Machines(rounds(rehearsal_key), rounds(tail_key))


def longest_delay(config: Any) -> float:
    """Seconds of an answer that comes after the end of the run, if ever."""
    return config.seconds + 1.0


def _loaded(compute: float, tail: Float[np.ndarray, "T k"], config: Any) -> LoadedTrace:
    """T = compute · (share over an even one) + tail."""
    k = config.num_workers
    seconds = compute + np.minimum(tail, longest_delay(config))
    return with_load(trace(seconds), slope=compute * k, recorded_load=1 / k)


def _from_trace(recorded: Trace, config: Any, seed: int) -> Machines:
    k = config.num_workers
    if recorded.num_workers < k:
        raise ValueError(
            f"config.num_workers = {k}; accepted: at most {recorded.num_workers}, the "
            f"workers of config.trace = {config.trace}"
        )
    if recorded.num_rounds < 2:
        raise ValueError(
            f"config.trace = {config.trace} has one round; accepted: two or more, of "
            "which the first half is for the rehearsal"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.choice(recorded.num_workers, k, replace=False)
    seconds = config.trace_scale * recorded.latencies[:, chosen].astype(np.float64)
    least = float(seconds.min())
    half = recorded.num_rounds // 2
    start = rng.integers(recorded.num_rounds - half)
    return Machines(
        _loaded(least, seconds[:half] - least, config),
        _loaded(least, np.roll(seconds[half:] - least, -start, axis=0), config),
    )
