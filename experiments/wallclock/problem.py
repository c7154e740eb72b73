"""What `experiments.wallclock` trains, and the machines that it imitates."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.common.schemes import draw_psi
from jgc.stragglers import Trace, load_trace

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

    def mean(params: Array) -> Array:
        return loss(params, examples).mean()

    @jax.jit
    def newton(params: Array) -> Array:
        return params - jnp.linalg.solve(
            jax.hessian(mean)(params), jax.grad(mean)(params)
        )

    best = jnp.asarray(params)
    for _ in range(20):
        best = newton(best)
    return float(mean(best))


def loss(params: Array, examples: SignedFeatures) -> Float[Array, " N"]:
    """The logistic losses of the examples, with a ridge that makes a minimum."""
    margin = examples["sign"] * (examples["features"] @ params)
    return jax.nn.softplus(-margin) + 5e-3 * (params**2).sum()


@jax.jit
def mean_losses(
    path: Float[Array, "T d"], examples: SignedFeatures
) -> Float[Array, " T"]:
    """The training loss at each of the parameters."""
    return jax.lax.map(lambda params: loss(params, examples).mean(), path)


class Machines(NamedTuple):
    """How long each worker takes: `compute` for its work, then `tail` for the rest.

    A worker with b_i partitions of n sleeps b_i k/n times `compute` seconds, which is 1
    for an even share, and the tail of the iteration, which knows no load.

    Attributes:
        compute: seconds for a k-th of the data.
        tail: seconds of iteration t at worker i; beyond the end of the run, "never".
    """

    compute: float
    tail: Float[np.ndarray, "T k"]

    def delays(
        self, batch_sizes: np.ndarray, num_partitions: int
    ) -> Float[np.ndarray, "T k"]:
        """Seconds that each worker sleeps in each iteration, given its load."""
        share = batch_sizes * batch_sizes.size / num_partitions
        return self.compute * share + self.tail

    def late(
        self, batch_sizes: np.ndarray, num_partitions: int, deadline: float
    ) -> Float[np.ndarray, " k"]:
        """p_i: how often a worker with that load misses the deadline in seconds.

        Counted over all iterations, with half a round of each kind beside them.
        """
        late = self.delays(batch_sizes, num_partitions) > deadline
        return (0.5 + late.sum(0)) / (1 + late.shape[0])


def make_machines(config: Any, seed: int) -> Machines:
    """The machines of a seed; every scheme meets the same tails.

    Shifted exponential (23) in units of config.time_unit: ψ_i is worker i's rate. Or a
    recorded trace: its least latency is taken for the computation, and what each round
    took longer is the tail.

    Raises:
        ValueError: the trace has too few workers, or is no trace.
        OSError: it cannot be read.
    """
    if config.trace:
        return _from_trace(
            load_trace(config.trace, missing_is_late=config.missing_is_late),
            config,
            seed,
        )
    psi_key, tail_key = jax.random.split(jax.random.key(seed))
    psi = draw_psi(psi_key, config.num_workers, config.psi_min, config.psi_max)
    # Keys by iteration: a longer run sees the same beginning.
    keys = jax.vmap(lambda t: jax.random.fold_in(tail_key, t))(
        jnp.arange(config.most_iterations)
    )
    draws = jax.vmap(lambda key: jax.random.exponential(key, psi.shape))(keys)
    tail = config.time_unit * np.asarray(draws, np.float64) / psi
    return Machines(
        config.time_unit * config.compute, np.minimum(tail, longest_delay(config))
    )


def longest_delay(config: Any) -> float:
    """Seconds of an answer that comes after the end of the run, if ever."""
    return config.seconds + 1.0


def _from_trace(trace: Trace, config: Any, seed: int) -> Machines:
    k = config.num_workers
    if trace.num_workers < k:
        raise ValueError(
            f"config.num_workers = {k}; accepted: at most {trace.num_workers}, the "
            f"workers of config.trace = {config.trace}"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.choice(trace.num_workers, k, replace=False)
    seconds = config.trace_scale * trace.latencies[:, chosen].astype(np.float64)
    least = float(seconds.min())
    start = rng.integers(trace.num_rounds)
    tail = np.minimum(seconds - least, longest_delay(config))
    return Machines(least, np.roll(tail, -start, axis=0))
