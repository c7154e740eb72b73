r"""Loss against virtual seconds: the advised option and its rivals, on a trace.

    python -m experiments.replay --config=configs/replay/trace.py \
        --trace=latencies.csv --workdir=runs/replay

Advises on the first half of the trace and replays all methods on the second, with the
steps and masks that a cluster with these latencies would see. Leaves `table.md`,
`replay.png` and a file a run (`runs/*.json`); a killed replay goes on with the first
run that is missing.
"""

import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from absl import flags
from jax.flatten_util import ravel_pytree
from ml_collections import ConfigDict, config_flags

from experiments.common import launch
from experiments.common.checks import (
    listed,
    require,
    require_counts,
    require_several,
)
from experiments.common.workdir import check_same_experiment, claim
from experiments.replay.methods import METHODS, Entry
from experiments.replay.references import REFERENCES
from experiments.replay.report import write_report
from experiments.replay.virtual_time import begins, losses_of, schedule
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.tasks import TASKS
from experiments.train.tasks.task import Task
from jgc._files import write_atomically
from jgc.stragglers import LoadedTrace, load_trace, with_load
from jgc.training import Partitions, coded_gradient, partitioned
from jgc.training._loss import as_loss
from jgc.training._sources import read_examples

_LOG = logging.getLogger("experiments.replay")  # __name__ is __main__ here
_ORDERS = ("shuffled", "task", "sorted")
_LEAST = ("minimised", "seen")


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    require_several(config, "methods", METHODS.__contains__, f"of {listed(METHODS)}")
    single = [name for name, one in OPTIMIZERS.items() if one.single_track is None]
    require_several(config, "optimizers", single.__contains__, f"of {listed(single)}")
    require(
        config,
        "references",
        lambda names: all(name in REFERENCES for name in names),
        f"of {listed(REFERENCES)}",
    )
    require(config, "work_fraction", lambda value: value <= 1, "at most 1")
    require(config, "slope", lambda value: 0 <= value < math.inf, "at least 0")
    require(config, "recorded_load", lambda value: 0 <= value <= 1, "from 0 to 1")
    require(config, "order", _ORDERS.__contains__, listed(_ORDERS))
    require(config, "least_loss", _LEAST.__contains__, listed(_LEAST))
    require_counts(config, "iterations", "step_sizes")
    require_several(config, "targets", lambda value: 0 < value < 1, "between 0 and 1")
    require(config, "smallest_step", lambda value: 0 < value < math.inf, "above 0")
    require(
        config,
        "largest_step",
        lambda value: value >= config.smallest_step,
        f"at least smallest_step = {config.smallest_step}",
    )


class Replay:
    """What all runs of a replay share: the data, the trace and the step sizes."""

    def __init__(self, config: Any, latencies: LoadedTrace, workdir: Path) -> None:
        """Loads the task."""
        rounds = latencies.recorded.num_rounds
        half = rounds // 2 if config.split else 0
        self.seen = latencies.rounds(0, half or rounds)
        self.replayed = latencies.rounds(half, rounds)
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
            batch_size=self._config.train.batch_size,
        )

    def run(self, entry: Entry, optimizer: str) -> dict[str, Any]:
        """The losses of one setting, at all step sizes."""
        found = schedule(
            entry.plan,
            entry.decoder,
            entry.rule,
            self.replayed,
            interruptible=self._config.interruptible,
        )
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
        for entry in METHODS[method](replay.seen, replay.replayed):
            for optimizer in config.optimizers:
                yield method, optimizer, entry
    for name in config.references:
        yield name, "sgd", None


def main() -> None:
    """Replays what is missing, and reports."""
    config, workdir = flags.FLAGS.config, Path(flags.FLAGS.workdir)
    try:
        check(config)
        check_same_experiment(config, workdir)
        recorded = load_trace(flags.FLAGS.trace, missing_is_late=config.missing_is_late)
        if config.split and recorded.num_rounds < 2:
            raise ValueError(
                f"{flags.FLAGS.trace} has one round, which has no halves; accepted: "
                "two or more, or config.split = False"
            )
        if config.work_fraction >= 0:
            latencies = with_load(recorded, work_fraction=config.work_fraction)
        else:
            latencies = with_load(
                recorded, slope=config.slope, recorded_load=config.recorded_load
            )
        replay = Replay(config, latencies, workdir)
        if config.references and not as_loss(replay.task.loss).is_separable:
            raise ValueError(
                "config.references must be () for a loss that sees whole partitions"
            )
    except (ValueError, OSError, ImportError) as error:
        raise launch.InputError(error) from error
    claim(config, workdir)
    (workdir / "runs").mkdir(exist_ok=True)
    rows = []
    runs = list(plan_runs(replay, config))
    for number, (method, optimizer, entry) in enumerate(runs):
        path = workdir / "runs" / f"{number:03d}.json"
        if not path.exists():
            row = (
                replay.refer(method) if entry is None else replay.run(entry, optimizer)
            )
            row |= {"method": method, "optimizer": optimizer}
            write_atomically(path, json.dumps(row) + "\n")
            _LOG.info("%d/%d %s, %s", number + 1, len(runs), method, row["name"])
        rows.append(json.loads(path.read_text()))
    if config.least_loss == "seen":
        least = min(np.nanmin(np.array(row["losses"])) for row in rows)
    else:
        least = replay.least_loss()
    write_report(rows, float(least), config, workdir)
    print(f"\nResults are in {workdir.absolute()}")


if __name__ == "__main__":
    flags.DEFINE_string("trace", None, "recorded latencies", required=True)
    flags.DEFINE_string("workdir", None, "where results go", required=True)
    config_flags.DEFINE_config_file("config", lock_config=True)
    flags.mark_flag_as_required("config")
    launch.run(main)
