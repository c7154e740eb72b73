"""Where a run's iterations take place: what `config.path` names.

For the same masks every path gives the same answer. A path decides on the masks: it may
draw them, or find out which workers were late.
"""

from collections.abc import Callable
from typing import Any

import optax

from experiments.train.paths.path import Iterations, Job, TrainingPath
from experiments.train.paths.ray import ray
from experiments.train.paths.simulated import simulated
from experiments.train.paths.spmd import spmd
from jgc.training._simulated import Loss

__all__ = ["PATHS", "Iterations", "Job", "TrainingPath"]

PATHS: dict[str, Callable[[Loss, optax.GradientTransformation, Any], TrainingPath]] = {
    "simulated": simulated,
    "spmd": spmd,
    "ray": ray,
}
