r"""Loss against seconds: real processes, real delays, every scheme on the same ones.

    python -m experiments.wallclock --config=configs/wallclock/delays.py \
        --workdir=runs/wallclock

Each worker is a process that sleeps as long as the machine that it imitates would take,
then computes and sends its message. Leaves `table.md`, `wallclock.png`, and for each
run its curve (`runs/*.json`) and latencies (`runs/*.csv`, which `load_trace` reads). A
killed experiment goes on with the first run that is missing.
"""

import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from absl import flags
from ml_collections import ConfigDict, config_flags

from experiments.common import launch
from experiments.common.checks import (
    listed,
    require,
    require_counts,
    require_several,
)
from experiments.common.workdir import check_same_experiment, claim
from experiments.wallclock.problem import (
    Machines,
    Problem,
    longest_delay,
    loss,
    make_machines,
    make_problem,
    mean_losses,
)
from experiments.wallclock.report import write_report
from experiments.wallclock.schemes import NAMES, make_entry
from jgc._files import write_atomically
from jgc.distributed import LatencyLog, WorkerPool, ray
from jgc.training import Job, arrays, partitioned

_LOG = logging.getLogger("experiments.wallclock")  # __name__ is __main__ here
_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "where results go", required=True)
flags.mark_flag_as_required("config")


@dataclass(frozen=True)
class Run:
    """A scheme from one seed, which decides on the machines."""

    scheme: str
    seed: int

    def path(self, workdir: Path) -> Path:
        """Where its curve goes."""
        return workdir / "runs" / f"{self.scheme}-seed{self.seed}.json"


def measure(
    run: Run,
    pool: WorkerPool,
    problem: Problem,
    machines: Machines,
    config: Any,
    latencies: Path,
) -> dict[str, Any]:
    """Trains until the loss is reached, or the time or the iterations are over.

    The loss is computed afterwards: no scheme is charged for being watched.
    """
    entry = make_entry(run.scheme, machines, config, run.seed)
    path = ray(
        loss,
        optax.sgd(config.learning_rate),
        pool=pool,
        policy=entry.policy,
        delays=machines.delays(entry.plan.batch_sizes, config.num_partitions),
    )
    job = Job(
        plan=entry.plan,
        data=partitioned(
            arrays(problem.examples),
            problem.partition,
            num_partitions=config.num_partitions,
        ),
        decoder=entry.decoder,
        following=entry.following,
    )
    with (
        path(job) as own,
        LatencyLog(latencies, num_workers=config.num_workers) as log,
    ):
        state = own.init(jax.random.key(run.seed), problem.params)
        # Compiles: an iteration that is not counted, with nobody to wait for.
        own.step(state, np.zeros(config.num_workers, bool))
        seconds, iterates = [0.0], [np.asarray(state.params)]
        answered: list[int] = []
        began = time.perf_counter()
        while seconds[-1] < config.seconds and len(answered) < config.most_iterations:
            state, report = own.step(state)
            seconds.append(time.perf_counter() - began)
            iterates.append(np.asarray(state.params))
            answered.append(int(report.answered.sum()))
            log.write(report.details.latencies)
    losses = np.asarray(mean_losses(np.stack(iterates), problem.examples), np.float64)
    return {
        "scheme": run.scheme,
        "seed": run.seed,
        "load": entry.plan.load,
        "largest_load": float(
            entry.plan.batch_sizes.max() * config.num_workers / config.num_partitions
        ),
        "seconds": seconds,
        "losses": losses.tolist(),
        "answered": answered,
        "least_loss": problem.least_loss,
    }


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    require_several(config, "schemes", NAMES.__contains__, f"of {listed(NAMES)}")
    require_counts(
        config,
        "num_workers",
        "num_partitions",
        "num_examples",
        "dimension",
        "num_seeds",
        "most_iterations",
        "redesign_every",
    )
    for key in (
        "learning_rate",
        "time_unit",
        "deadline",
        "psi_min",
        "trace_scale",
        "seconds",
    ):
        require(config, key, lambda value: 0 < value < math.inf, "above 0")
    for key in ("compute", "diversity"):
        require(config, key, lambda value: 0 <= value < math.inf, "at least 0")
    require(
        config,
        "overhead",
        lambda value: 0 <= value < config.deadline * config.time_unit,
        "at least 0 and below deadline · time_unit",
    )
    require(config, "target", lambda value: 0 < value < 1, "between 0 and 1")
    require(config, "memory", lambda value: value > 1, "above 1")
    require(config, "psi_max", lambda value: value >= config.psi_min, "≥ psi_min")


def main() -> None:
    """Runs what the config lists and the working directory lacks, and reports."""
    config, workdir = _CONFIG.value, Path(_WORKDIR.value)
    runs = [
        Run(scheme, seed)
        for seed in range(config.num_seeds)
        for scheme in config.schemes
    ]
    try:
        check(config)
        check_same_experiment(config, workdir)
        problem = make_problem(config)
        machines = {run.seed: make_machines(config, run.seed) for run in runs}
        for run in runs:
            make_entry(run.scheme, machines[run.seed], config, run.seed)
    except (ValueError, OSError) as error:
        raise launch.InputError(error) from error
    claim(config, workdir)
    (workdir / "runs").mkdir(exist_ok=True)

    left = [run for run in runs if not run.path(workdir).exists()]
    _LOG.info("%d runs, %d finished before", len(runs), len(runs) - len(left))
    if left:
        # A worker that sleeps past the end of the run does not hang.
        with WorkerPool(
            config.num_workers,
            address=config.ray_address,
            hung_after=60.0 + longest_delay(config),
        ) as pool:
            for number, run in enumerate(left, start=1):
                path = run.path(workdir)
                row = measure(
                    run,
                    pool,
                    problem,
                    machines[run.seed],
                    config,
                    path.with_suffix(".csv"),
                )
                write_atomically(path, json.dumps(row) + "\n")
                _LOG.info(
                    "%d/%d %s, seed %d: loss %.4f after %.1f s and %d iterations",
                    number,
                    len(left),
                    run.scheme,
                    run.seed,
                    row["losses"][-1],
                    row["seconds"][-1],
                    len(row["answered"]),
                )
    rows = [json.loads(run.path(workdir).read_text()) for run in runs]
    write_report(rows, config.target, workdir)
    print(f"\nResults are in {workdir.absolute()}")


if __name__ == "__main__":
    launch.run(main)
