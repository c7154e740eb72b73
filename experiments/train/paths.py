"""Where a run's iterations take place: what `config.path` names."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import optax

from experiments.common.conditions import OBSERVED, adaptive_rule
from experiments.common.schemes import read_plan, read_rule
from jgc import training
from jgc.training import TrainingPath
from jgc.training._loss import LossLike


@contextmanager
def _simulated(
    loss: LossLike, optimizer: optax.GradientTransformation, config: Any
) -> Iterator[TrainingPath]:
    yield training.simulated(loss, optimizer, chunk_size=config.chunk_size or None)


@contextmanager
def _spmd(
    loss: LossLike, optimizer: optax.GradientTransformation, config: Any
) -> Iterator[TrainingPath]:
    yield training.spmd(loss, optimizer, chunk_size=config.chunk_size or None)


@contextmanager
def _ray(
    loss: LossLike, optimizer: optax.GradientTransformation, config: Any
) -> Iterator[TrainingPath]:
    """A process for each worker, on this machine or those of config.ray.address.

    Without config.ray.deadline, workers straggle by the masks that the other paths
    draw: those that answer are waited for. With it, they straggle by being late, or by
    the rule of config.plan_file where that is what sets the deadline; with
    config.adaptive the deadline follows them. The processes outlive a run: the next one
    finds them started.
    """
    # Here, so that the other paths need no extra "distributed".
    from jgc.distributed import (
        Waiting,
        WorkerPool,
        fixed_deadline,
        ray,
        wait_by,
        wait_for,
    )

    workers, deadline, rule = config.num_workers, config.ray.deadline, None
    if config.stragglers.model == OBSERVED and not deadline:
        rule = read_rule(config)
    if rule is not None:
        policy = wait_by(rule)
    elif deadline and config.adaptive.at_most:
        told = config.believed.p or read_plan(config).straggler_probabilities
        p = np.asarray(told, np.float64)

        def policy(waiting: Waiting) -> float:
            rule = adaptive_rule(config, waiting.plan, p)
            assert rule is not None
            return wait_by(rule)(waiting)

    else:
        policy = fixed_deadline(deadline) if deadline else wait_for(workers)
    with WorkerPool(workers, address=config.ray.address) as pool:
        yield ray(
            loss,
            optimizer,
            pool=pool,
            policy=policy,
            chunk_size=config.chunk_size or None,
        )


# path(loss, optimizer, config), open while runs use it.
PATHS: dict[
    str,
    Callable[
        [LossLike, optax.GradientTransformation, Any],
        AbstractContextManager[TrainingPath],
    ],
] = {"simulated": _simulated, "spmd": _spmd, "ray": _ray}
