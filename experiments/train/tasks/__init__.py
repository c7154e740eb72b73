"""What `config.task` names."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.train.tasks import logistic
from experiments.train.tasks.task import Task


def _detection(config: Any, workdir: Path) -> Task:
    # Here, so that other tasks need no extra "detection".
    from experiments.train.tasks.detection import load_detection_task

    del workdir
    detection = load_detection_task(config)
    return detection.task(num_partitions=config.num_partitions)


def _logistic(config: Any, workdir: Path) -> Task:
    del workdir
    return logistic.make_task(config)


# task(config, workdir), loaded.
TASKS: dict[str, Callable[[Any, Path], Task]] = {
    "detection": _detection,
    "logistic": _logistic,
}
