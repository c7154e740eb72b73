r"""Loss against seconds: real processes, real delays, every scheme on the same ones.

    python -m experiments.wallclock --config=configs/wallclock/delays.py \
        --workdir=runs/wallclock

Each worker is a process that sleeps as long as the machine that it imitates would take,
then computes and sends its message. Every scheme runs with the step size, and with the
deadline, the number waited for or the replication, that come off best in a rehearsal:
in virtual time, on other rounds of the same machines. Leaves `table.md`, which has what
replay expects of the run's own rounds beside what was measured, `wallclock.png`, and
for each run its curve (`runs/*.json`) and latencies (`runs/*.csv`, which `load_trace`
reads). A killed experiment goes on with the first run that is missing.
"""

import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
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
    mean_loss,
)
from experiments.wallclock.rehearsal import Tuned, partitions_of, predicted, tune
from experiments.wallclock.report import write_report
from experiments.wallclock.schemes import TITLES, Entry, entries
from jgc._files import write_atomically
from jgc.distributed import LatencyLog, WorkerPool, ray, wait_by
from jgc.stragglers import LoadedTrace
from jgc.training import Job, TrainState

_LOG = logging.getLogger(__name__)
_BEYOND = 10.0  # times below the target, a run ends


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

    settings: dict[Race, list[Entry]]
    problem: ClockProblem
    machines: dict[int, Machines]  # by seed


def measure(
    race: Race,
    tuned: Tuned,
    pool: WorkerPool,
    problem: ClockProblem,
    latencies: LoadedTrace,
    config: Any,
    log_path: Path,
) -> dict[str, Any]:
    """Trains until the loss is far below the target, or the time is over.

    The clock stands still while the loss is computed: no scheme is charged for being
    watched.
    """
    entry, k, n = tuned.entry, config.num_workers, config.num_partitions
    plan = entry.plan
    path = ray(
        loss,
        optax.sgd(tuned.step_size),
        pool=pool,
        policy=wait_by(entry.rule),
        delays=latencies.seconds(plan.batch_sizes / n),
    )
    job = Job(
        plan=plan,
        data=partitions_of(problem, n),
        decoder=entry.decoder,
        following=entry.following,
    )
    with path(job) as own, LatencyLog(log_path, num_workers=k) as log:
        state = own.init(jax.random.key(race.seed), problem.params)
        own.step(state)  # compiles: an iteration that is not counted
        seconds, losses = [0.0], [_loss_at(state, problem)]
        answered: list[int] = []
        enough = config.target / _BEYOND * (losses[0] - problem.least_loss)
        while (
            seconds[-1] < config.seconds
            and len(answered) < config.most_iterations
            and losses[-1] - problem.least_loss > enough
        ):
            began = time.perf_counter()
            state, report = own.step(state)
            seconds.append(seconds[-1] + time.perf_counter() - began)
            losses.append(_loss_at(state, problem))
            answered.append(int(report.answered.sum()))
            log.write(report.details.latencies)
    return {
        "scheme": race.scheme,
        "title": TITLES[race.scheme],
        "seed": race.seed,
        "setting": entry.setting,
        "step_size": tuned.step_size,
        "predicted": predicted(tuned, problem, latencies, config),
        "load": plan.load,
        "largest_load": float(plan.batch_sizes.max() * k / n),
        "seconds": seconds,
        "losses": losses,
        "answered": answered,
        "least_loss": problem.least_loss,
    }


def _loss_at(state: TrainState, problem: ClockProblem) -> float:
    return float(mean_loss(state.params, problem.examples))


def prepare(config: Any, workdir: Path) -> Prepared:
    """The races, what is trained and on which machines.

    Raises:
        ValueError: a setting is not accepted, or a plan is infeasible.
        OSError: a trace cannot be read.
    """
    settings.check(config)
    machines = {seed: make_machines(config, seed) for seed in range(config.num_seeds)}
    found = {
        Race(scheme, seed): list(entries(scheme, one.rehearsal, config, seed))
        for seed, one in machines.items()
        for scheme in config.schemes
    }
    return Prepared(found, make_problem(config), machines)


def race_all(prepared: Prepared, config: Any, workdir: Path) -> None:
    """Runs what the working directory lacks, and reports."""
    settings, problem, machines = prepared
    (workdir / "runs").mkdir(exist_ok=True)
    left = [race for race in settings if not race.path(workdir).exists()]
    _LOG.info("%d runs, %d finished before", len(settings), len(settings) - len(left))
    if left:
        # Before the processes start, which would take time from it and it from them.
        tuned = {}
        for race in left:
            seen = machines[race.seed].rehearsal
            tuned[race] = tune(settings[race], problem, seen, config)
            _LOG.info(
                "rehearsed %s, seed %d: %s, step %g",
                race.scheme,
                race.seed,
                tuned[race].entry.setting,
                tuned[race].step_size,
            )
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
                    tuned[race],
                    pool,
                    problem,
                    machines[race.seed].run,
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
    rows = [json.loads(race.path(workdir).read_text()) for race in settings]
    write_report(rows, config.target, workdir)
