r"""Decoders side by side: their error in closed form, and what it means in training.

    python -m experiments.decoding --config=configs/decoding/comparison.py \
        --workdir=runs/decoding

Leaves `errors` and `training`, each as `.json`, `.csv`, `.md` and `.png`.
"""

from pathlib import Path
from typing import Any

from experiments.common import launch
from experiments.decoding import errors, settings, training
from experiments.decoding.report import write_errors, write_training


def main() -> None:
    """The program."""
    launch.experiment(prepare, measure_all, how_to_go_on="the same command starts anew")


def prepare(config: Any, workdir: Path) -> dict[str, training.Law]:
    """What is trained, once every setting is known to be usable.

    Raises:
        ValueError: a setting is not accepted, or a method that is trained has no plan.
    """
    settings.check(config)
    return training.prepare(config)


def measure_all(laws: dict[str, training.Law], config: Any, workdir: Path) -> None:
    """Measures errors, then trains; each part is written when it is done."""
    write_errors(errors.measure(config), workdir)
    write_training(training.measure(config, laws), workdir)
