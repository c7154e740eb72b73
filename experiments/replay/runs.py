"""What a replay runs: every method's settings, on the second half of the trace."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.flatten_util import ravel_pytree

from experiments.replay.methods import METHODS, OF_PARTS, Entry
from experiments.replay.references import REFERENCES
from experiments.replay.virtual_time import begins, losses_of
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.tasks import TASKS
from experiments.train.tasks.task import Task
from jgc.design._runnable import schedule
from jgc.stragglers import LoadedTrace
from jgc.training import Partitions, coded_gradient, partitioned
from jgc.training._sources import read_examples


class Replay:
    """What all runs of a replay share: the data, the trace and the step sizes."""

    def __init__(self, config: Any, latencies: LoadedTrace, workdir: Path) -> None:
        """Loads the task."""
        rounds = latencies.recorded.num_rounds
        half = rounds // 2 if config.split else 0
        self.seen = latencies.rounds(0, half or rounds)
        self.replayed = latencies.rounds(half, rounds)
        if config.slowdown != 1:
            self.replayed = _slowed(self.replayed, config.slowdown, config.iterations)
        self._config = config
        settings = config.train.copy_and_resolve_references()
        settings.num_partitions = latencies.recorded.num_workers
        self.task: Task = TASKS[settings.task](settings, workdir)
        self.params = self.task.init(jax.random.key(0))
        self._rank = np.argsort(_order(self.task, config), kind="stable").argsort()
        self.step_sizes = np.geomspace(
            config.smallest_step, config.largest_step, config.step_sizes
        )

    def data(self, num_partitions: int) -> Partitions:
        """The examples in their order, cut into runs as equal as can be."""
        return partitioned(
            self.task.source,
            self._rank * num_partitions // self._rank.size,
            num_partitions=num_partitions,
        )

    def run(self, entry: Entry, optimizer: str) -> dict[str, Any]:
        """The losses of one setting, at all step sizes."""
        found = schedule(entry, self.replayed, interruptible=self._config.interruptible)
        losses = losses_of(
            self.task.loss,
            OPTIMIZERS[optimizer].make,
            self.params,
            self.data(entry.plan.num_partitions),
            jnp.asarray(found.coefficients),
            jnp.asarray(self.step_sizes),
            iterations=self._config.iterations,
        )
        at = begins(found.waited, self._config.iterations)
        return {
            "name": entry.name,
            "losses": np.asarray(losses, np.float64).tolist(),
            "at": at.tolist(),
            "predicted": entry.relative_seconds,
        }

    def refer(self, name: str) -> dict[str, Any]:
        """The losses of a reference outside synchronous training."""
        found = REFERENCES[name](
            self.task.loss,
            self.params,
            self.data(self.replayed.recorded.num_workers),
            self.replayed,
            self.step_sizes,
            self._config.iterations,
        )
        return {
            "name": name,
            "losses": np.asarray(found.losses, np.float64).tolist(),
            "at": found.at.tolist(),
            "predicted": math.nan,
        }

    def least_loss(self) -> float:
        """L*, by L-BFGS on all the data."""
        data = self.data(1)
        batch = data.batch(jax.random.key(0), 0)
        start, unravel = ravel_pytree(self.params)

        @jax.jit
        def value_and_gradient(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
            found = coded_gradient(self.task.loss, unravel(vector), batch, jnp.ones(1))
            return found.losses[0], ravel_pytree(found.gradient)[0]

        def objective(vector: np.ndarray) -> tuple[float, np.ndarray]:
            value, gradient = value_and_gradient(jnp.asarray(vector, start.dtype))
            return float(value), np.asarray(gradient, np.float64)

        found = scipy.optimize.minimize(
            objective,
            np.asarray(start, np.float64),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": 2000, "ftol": 1e-12, "gtol": 1e-9},
        )
        return float(found.fun)


def _slowed(latencies: LoadedTrace, factor: float, iterations: int) -> LoadedTrace:
    """A round an iteration, the second half of which take so many times as long."""
    rows = np.arange(iterations) % latencies.recorded.num_rounds
    by = np.where(np.arange(iterations) < iterations // 2, 1, factor)[:, None]
    seconds = (latencies.recorded.latencies[rows] * by).astype(np.float32)
    recorded = latencies.recorded._replace(latencies=seconds)
    return latencies._replace(recorded=recorded, slope=latencies.slope[rows] * by)


def _order(task: Task, config: Any) -> np.ndarray:
    """A key for each example, by which the data lies."""
    if config.order == "task":
        return np.asarray(task.assignment)
    if config.order == "shuffled":
        return np.random.default_rng(0).permutation(np.asarray(task.assignment).size)
    examples = read_examples(task.source, np.arange(np.asarray(task.assignment).size))
    if not isinstance(examples, dict) or config.sort_by not in examples:
        raise ValueError(
            f"config.sort_by = {config.sort_by!r}; accepted: an array of the task's "
            "examples"
        )
    return np.asarray(examples[config.sort_by])


def plan_runs(replay: Replay, config: Any) -> Iterator[tuple[str, str, Entry | None]]:
    """Method, optimizer and setting of every run; references have no setting."""
    for method in config.methods:
        for entry in (METHODS | OF_PARTS)[method](replay.seen, replay.replayed):
            for optimizer in config.optimizers:
                yield method, optimizer, entry
    for name in config.references:
        yield name, "sgd", None
