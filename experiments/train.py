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

from absl import app, flags
from absl import logging as absl_logging
from ml_collections import config_flags

from experiments import report, settings
from experiments.detection import load_detection_task
from experiments.detection_picture import draw_comparison
from experiments.optimizers import OPTIMIZERS
from experiments.progress import Progress
from experiments.runs import RESULT, design, list_runs, run_directory, train
from jgc.training import make_step
from jgc.training.files import write_atomically

_LOG = logging.getLogger(__name__)
_CONFIG = config_flags.DEFINE_config_file("config", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "where results go", required=True)
flags.mark_flag_as_required("config")


def run_experiment(config: Any, workdir: Path) -> None:
    """Runs what `config` lists and has not finished in `workdir`, then reports.

    Raises:
        ValueError: a setting is not accepted, or `workdir` holds another experiment.
    """
    settings.check(config)
    runs = list_runs(config)
    for run in runs:
        design(run, config)  # infeasible plans fail here, before any work
    _claim(workdir, config)

    detection = load_detection_task(config, default_cache=workdir / "data")
    task = detection.task(num_partitions=config.num_partitions)
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


def _claim(workdir: Path, config: Any) -> None:
    """Makes `workdir` this experiment's, or checks that it is."""
    workdir.mkdir(parents=True, exist_ok=True)
    path = workdir / "config.json"
    wanted = json.loads(config.to_json())
    if path.exists():
        found = json.loads(path.read_text())
        changed = sorted(_differing_keys(found, wanted))
        if changed:
            raise ValueError(
                f"--workdir={workdir} holds an experiment with other settings of "
                f"{', '.join(changed)}; name a new folder, or the settings in {path}"
            )
    write_atomically(path, json.dumps(wanted, indent=2) + "\n")


def _differing_keys(found: dict, wanted: dict, prefix: str = "config.") -> list[str]:
    keys = []
    for key in found.keys() | wanted.keys():
        old, new = found.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            keys += _differing_keys(old, new, f"{prefix}{key}.")
        elif old != new:
            keys.append(prefix + key)
    return keys


def main(arguments: list[str]) -> None:
    if len(arguments) > 1:
        raise app.UsageError(f"unknown arguments: {arguments[1:]}")
    logging.getLogger("experiments").setLevel(logging.INFO)
    if not flags.FLAGS["verbosity"].present:
        # Orbax logs a page per checkpoint through absl.
        absl_logging.set_verbosity(absl_logging.WARNING)
    run_experiment(_CONFIG.value, Path(_WORKDIR.value))


if __name__ == "__main__":
    app.run(main)
