"""Trains one model under every scheme, deadline, optimizer and seed, and compares them.

    python -m experiments.train --config=configs/train/shapes.py --workdir=runs/shapes

Killed at any point, the same command goes on to the same results. What it leaves in
the working directory: `table.md` and `table.csv`, `convergence.png`, for a detector
`detections.png`, for optimizers of two tracks `two_track.md`, for several Λ
`noise_ratios.png`, and a folder for each run with its metrics, TensorBoard events,
checkpoints and result.
"""

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

from experiments.common import launch
from experiments.common.progress import Progress
from experiments.common.workdir import check_same_experiment, claim
from experiments.train import settings
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.paths import PATHS
from experiments.train.report import __main__ as report
from experiments.train.runs import (
    RESULT,
    Run,
    design,
    list_runs,
    restore_params,
    run_directory,
    train,
)
from experiments.train.tasks import TASKS
from experiments.train.tasks.task import Task

_LOG = logging.getLogger("experiments.train")  # __name__ is __main__ here
_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "where results go", required=True)
flags.mark_flag_as_required("config")


def main() -> None:
    """Runs what the config lists and has not finished in the working directory."""
    config, workdir = _CONFIG.value, Path(_WORKDIR.value)
    try:
        runs, task = prepare(config, workdir)
    except (ValueError, OSError) as error:
        raise launch.InputError(error) from error

    optimizers = {
        name: OPTIMIZERS[name].make(config.learning_rates[name])
        for name in config.optimizers
    }
    folders = {run: run_directory(workdir, run) for run in runs}
    left = [run for run in runs if not (folders[run] / RESULT).exists()]
    _LOG.info("%d runs, %d finished before", len(runs), len(runs) - len(left))
    with (
        ExitStack() as opened,
        Progress(len(left), config.num_iterations) as progress,
    ):
        used = dict.fromkeys(run.optimizer for run in left)
        paths = {
            name: opened.enter_context(
                PATHS[config.path](task.loss, optimizers[name], config)
            )
            for name in used
        }
        for run in left:
            train(run, task, paths[run.optimizer], config, folders[run], progress)

    report.write_report(runs, workdir)
    if task.draw is not None:
        trained = [
            (run.title, restore_params(run, task, folder))
            for run, folder in folders.items()
            if run.seed == 0
        ]
        task.draw(trained, workdir)
    print(f"\nResults are in {workdir.absolute()}:")
    for entry in sorted(workdir.iterdir()):
        print(f"  {entry.name}")


def prepare(config: Any, workdir: Path) -> tuple[list[Run], Task]:
    """Everything that wrong input can stop, so that it stops before training.

    Raises:
        ValueError: a setting is not accepted, a plan is infeasible, the data is
            malformed, or `workdir` holds another experiment.
        OSError: the data or `workdir` cannot be read or made.
    """
    settings.check(config)
    check_same_experiment(config, workdir)
    runs = list_runs(config)
    for run in runs:
        design(run, config)
    task = TASKS[config.task](config, workdir)
    smallest = np.bincount(task.assignment, minlength=config.num_partitions).min()
    if config.batch_size > smallest:
        raise ValueError(
            f"config.batch_size = {config.batch_size}; accepted: at most {smallest}, "
            "the examples of the smallest partition"
        )
    claim(config, workdir)
    return runs, task


if __name__ == "__main__":
    launch.run(main)
