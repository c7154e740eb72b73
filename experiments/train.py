"""Trains one detector under every scheme, deadline and seed, and compares them.

    python -m experiments.train --config=configs/shapes.py --workdir=runs/shapes

Killed at any point, the same command goes on to the same results. What it leaves in
the working directory: `table.md` and `table.csv`, `convergence.png`,
`detections.png`, and a folder for each run with its metrics, TensorBoard events,
checkpoints and result.
"""

import json
import logging
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import config_flags

from experiments import launch, report, settings
from experiments.detection import DetectionTask, load_detection_task
from experiments.detection_picture import draw_comparison
from experiments.optimizers import OPTIMIZERS
from experiments.progress import Progress
from experiments.runs import RESULT, Run, Task, design, list_runs, run_directory, train
from jgc.training import make_step
from jgc.training.files import write_atomically

_LOG = logging.getLogger("experiments.train")  # __name__ is __main__ here
_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "where results go", required=True)
flags.mark_flag_as_required("config")


def main() -> None:
    """Runs what the config lists and has not finished in the working directory."""
    config, workdir = _CONFIG.value, Path(_WORKDIR.value)
    try:
        runs, detection, task = prepare(config, workdir)
    except (ValueError, OSError) as error:
        raise launch.InputError(error) from error

    optimizer = OPTIMIZERS[config.optimizer](config.learning_rate)
    step = make_step(
        detection.detector.loss, optimizer, chunk_size=config.chunk_size or None
    )
    folders = {run: run_directory(workdir, run) for run in runs}
    left = [run for run in runs if not (folders[run] / RESULT).exists()]
    _LOG.info("%d runs, %d finished before", len(runs), len(runs) - len(left))
    with Progress(len(left), config.num_iterations) as progress:
        for run in left:
            train(run, task, step, optimizer, config, folders[run], progress)

    report.write_report(runs, workdir)
    draw_comparison(runs, detection, task, optimizer, workdir)
    print(f"\nResults are in {workdir.absolute()}:")
    for path in sorted(workdir.iterdir()):
        print(f"  {path.name}")


def prepare(config: Any, workdir: Path) -> tuple[list[Run], DetectionTask, Task]:
    """Everything that wrong input can stop, so that it stops before training.

    Raises:
        ValueError: a setting is not accepted, a plan is infeasible, the data is
            malformed, or `workdir` holds another experiment.
        OSError: the data or `workdir` cannot be read or made.
    """
    settings.check(config)
    _check_same_experiment(config, workdir)
    runs = list_runs(config)
    for run in runs:
        design(run, config)
    detection = load_detection_task(config, default_cache=workdir / "data")
    task = detection.task(num_partitions=config.num_partitions)
    write_atomically(workdir / "config.json", _as_json(config))
    return runs, detection, task


def _check_same_experiment(config: Any, workdir: Path) -> None:
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "config.json"
    if path.exists():
        found, wanted = json.loads(path.read_text()), json.loads(_as_json(config))
        changed = _differing_keys(found, wanted)
        if changed:
            raise ValueError(
                f"--workdir={workdir} holds an experiment with other settings of "
                f"{', '.join(changed)}; name a new folder, or the settings in {path}"
            )


def _as_json(config: Any) -> str:
    return json.dumps(json.loads(config.to_json()), indent=2) + "\n"


def _differing_keys(found: dict, wanted: dict, prefix: str = "config.") -> list[str]:
    keys: list[str] = []
    for key in sorted(found.keys() | wanted.keys()):
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            keys += _differing_keys(old, new, f"{prefix}{key}.")
        elif old != new:
            keys.append(prefix + key)
    return keys


if __name__ == "__main__":
    launch.run(main)
