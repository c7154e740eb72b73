r"""Trains one model by every scheme, deadline, optimizer, codec and seed; compares.

    python -m experiments.train --config=configs/train/shapes.py --workdir=runs/shapes

Killed at any point, the same command goes on to the same results. Asked for more seeds,
rates, schemes, deadlines or optimizers, it adds runs to those that are there. What it
leaves in the working directory: `table.md` and `table.csv`, `validation.png` and, of
the training loss, `convergence.png`, for a detector `detections.png`, where ρ is
followed `similarity.png`, for optimizers of two tracks `two_track.md`, for several Λ
`noise_ratios.png`, for several learning rates `tuned.md` and `tuned.png`;
`findings.md`, which says what they show; and a folder for each run with its metrics,
TensorBoard events, checkpoints, result and, of a detector, COCO's 12 numbers as text.

In several processes, on one machine or many that share the working directory:

    python -m experiments.train --config=… --workdir=… --config.path=spmd \
        --coordinator=host:port --num_processes=2 --process_index=0    # and 1
"""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import launch, processes
from experiments.common.progress import RunProgress
from experiments.common.threads import OneAtFirst, in_threads
from experiments.train import settings
from experiments.train.codecs import make_codec
from experiments.train.optimizers import make_optimizer
from experiments.train.paths import PATHS
from experiments.train.report.tables import write_report
from experiments.train.runs import RESULT, make_job, restore_params, train
from experiments.train.specs import ADD_RUNS, RunSpec, list_runs, run_directory
from experiments.train.tasks import TASKS
from experiments.train.tasks.task import Task
from jgc.training import TrainingPath

_LOG = logging.getLogger(__name__)


def main() -> None:
    """The program."""
    launch.experiment(prepare, run_all, several_processes=True, may_grow=ADD_RUNS)


def prepare(config: Any, workdir: Path) -> tuple[list[RunSpec], Task]:
    """Everything that wrong input can stop, so that it stops before training.

    Raises:
        ValueError: a setting is not accepted, a plan is infeasible, or the data is
            malformed.
        OSError: the data cannot be read.
    """
    settings.check(config)
    runs = list_runs(config)
    task = TASKS[config.task](config, workdir)
    smallest = np.bincount(task.assignment, minlength=config.num_partitions).min()
    if config.batch_size > smallest:
        raise ValueError(
            f"config.batch_size = {config.batch_size}; accepted: at most {smallest}, "
            "the examples of the smallest partition"
        )
    for run in runs:
        make_job(run, task, config)
    return runs, task


def run_all(prepared: tuple[list[RunSpec], Task], config: Any, workdir: Path) -> None:
    """Runs what has not finished in the working directory, and reports."""
    runs, task = prepared
    folders = {run: run_directory(workdir, run) for run in runs}
    is_done = processes.from_writer(
        np.array([(folder / RESULT).exists() for folder in folders.values()])
    )
    left = [run for run, done in zip(runs, is_done, strict=True) if not done]
    _LOG.info("%d runs, %d finished before", len(runs), len(runs) - len(left))
    with (
        ExitStack() as opened,
        RunProgress(
            len(left), config.num_iterations, is_shown=processes.is_writer()
        ) as progress,
    ):
        paths: dict[tuple[str, float, str], TrainingPath] = {}
        for run in left:
            if _path_of(run) not in paths:
                optimizer = make_optimizer(run.optimizer, config, run.rate_factor)
                codec = make_codec(run.codec, config)
                opening = PATHS[config.path](task.loss, optimizer, codec, config)
                paths[_path_of(run)] = opened.enter_context(opening)
        first = OneAtFirst()

        def train_one(run: RunSpec) -> None:
            path, folder = paths[_path_of(run)], folders[run]
            train(run, task, path, config, folder, progress, first)

        in_threads(train_one, left, count=config.runs_at_once, abandon=progress.abandon)

    processes.in_step()
    # In all processes: what the writer reads is sent to the others.
    trained = [
        (run.title, restore_params(run, task, folder))
        for run, folder in folders.items()
        if run.seed == 0 and run.rate_factor == 1 and task.draw is not None
    ]
    if not processes.is_writer():
        return
    write_report(runs, workdir)
    if task.draw is not None:
        task.draw(trained, workdir)


def _path_of(run: RunSpec) -> tuple[str, float, str]:
    """What runs that share a path have in common."""
    return run.optimizer, run.rate_factor, run.codec
