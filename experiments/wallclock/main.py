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
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.common import launch
from experiments.wallclock import settings
from experiments.wallclock.problem import (
    ClockProblem,
    Machines,
    longest_delay,
    loss,
    make_machines,
    make_problem,
    mean_losses,
)
from experiments.wallclock.report import write_report
from experiments.wallclock.schemes import TITLES, make_entry
from jgc._files import write_atomically
from jgc.distributed import LatencyLog, WorkerPool, ray
from jgc.training import Job, arrays, partitioned

_LOG = logging.getLogger(__name__)


def main() -> None:
    """The program."""
    launch.experiment(prepare, race_all)


@dataclass(frozen=True)
class Race:
    """A scheme from one seed, which decides on the machines."""

    scheme: str
    seed: int

    def path(self, workdir: Path) -> Path:
        """Where its curve goes."""
        return workdir / "runs" / f"{self.scheme}-seed{self.seed}.json"


class Prepared(NamedTuple):
    """What all races need."""

    races: list[Race]
    problem: ClockProblem
    machines: dict[int, Machines]  # by seed


def measure(
    race: Race,
    pool: WorkerPool,
    problem: ClockProblem,
    machines: Machines,
    config: Any,
    latencies: Path,
) -> dict[str, Any]:
    """Trains until the loss is reached, or the time or the iterations are over.

    The loss is computed afterwards: no scheme is charged for being watched.
    """
    entry = make_entry(race.scheme, machines, config, race.seed)
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
        state = own.init(jax.random.key(race.seed), problem.params)
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
        "scheme": race.scheme,
        "title": TITLES[race.scheme],
        "seed": race.seed,
        "load": entry.plan.load,
        "largest_load": float(
            entry.plan.batch_sizes.max() * config.num_workers / config.num_partitions
        ),
        "seconds": seconds,
        "losses": losses.tolist(),
        "answered": answered,
        "least_loss": problem.least_loss,
    }


def prepare(config: Any, workdir: Path) -> Prepared:
    """The races, what is trained and on which machines.

    Raises:
        ValueError: a setting is not accepted, or a plan is infeasible.
        OSError: a trace cannot be read.
    """
    settings.check(config)
    races = [
        Race(scheme, seed)
        for seed in range(config.num_seeds)
        for scheme in config.schemes
    ]
    machines = {race.seed: make_machines(config, race.seed) for race in races}
    for race in races:
        make_entry(race.scheme, machines[race.seed], config, race.seed)
    return Prepared(races, make_problem(config), machines)


def race_all(prepared: Prepared, config: Any, workdir: Path) -> None:
    """Runs what the working directory lacks, and reports."""
    races, problem, machines = prepared
    (workdir / "runs").mkdir(exist_ok=True)
    left = [race for race in races if not race.path(workdir).exists()]
    _LOG.info("%d runs, %d finished before", len(races), len(races) - len(left))
    if left:
        # A worker that sleeps past the end of the run does not hang.
        with WorkerPool(
            config.num_workers,
            address=config.ray_address,
            hung_after=60.0 + longest_delay(config),
        ) as pool:
            for number, race in enumerate(left, start=1):
                path = race.path(workdir)
                row = measure(
                    race,
                    pool,
                    problem,
                    machines[race.seed],
                    config,
                    path.with_suffix(".csv"),
                )
                write_atomically(path, json.dumps(row) + "\n")
                _LOG.info(
                    "%d/%d %s, seed %d: loss %.4f after %.1f s and %d iterations",
                    number,
                    len(left),
                    race.scheme,
                    race.seed,
                    row["losses"][-1],
                    row["seconds"][-1],
                    len(row["answered"]),
                )
    rows = [json.loads(race.path(workdir).read_text()) for race in races]
    write_report(rows, config.target, workdir)
