"""Where a run's iterations take place: what `config.path` names."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import optax

from experiments.common.conditions import OBSERVED, adaptive_rule
from experiments.common.schemes import read_option, read_plan
from jgc import training
from jgc.codecs import Codec
from jgc.training import TrainingPath
from jgc.training._loss import LossLike


@contextmanager
def _simulated(
    loss: LossLike,
    optimizer: optax.GradientTransformation,
    codec: Codec | None,
    config: Any,
) -> Iterator[TrainingPath]:
    chunk_size = config.chunk_size or None
    yield training.simulated(loss, optimizer, codec=codec, chunk_size=chunk_size)


@contextmanager
def _spmd(
    loss: LossLike,
    optimizer: optax.GradientTransformation,
    codec: Codec | None,
    config: Any,
) -> Iterator[TrainingPath]:
    assert codec is None  # settings.check
    yield training.spmd(loss, optimizer, chunk_size=config.chunk_size or None)


def policy_of(config: Any) -> Any:
    """How long real processes are waited for, a `jgc.distributed.Policy`.

    Without config.ray.deadline, workers straggle by the masks that the other paths
    draw: those that answer are waited for. With it, they straggle by being late, or by
    the rule of config.plan_file where that is what sets the deadline; with
    config.adaptive the deadline follows them.
    """
    # Here, so that the other paths need no extra "distributed".
    from jgc.distributed import Waiting, fixed_deadline, wait_by, wait_for

    deadline = config.ray.deadline
    if not deadline:
        is_observed = config.stragglers.model == OBSERVED
        option = read_option(config) if is_observed else None
        return wait_for(config.num_workers) if option is None else wait_by(option.rule)
    if not config.adaptive.at_most:
        return fixed_deadline(deadline)
    told = config.believed.p or read_plan(config).straggler_probabilities
    p = np.asarray(told, np.float64)

    def policy(waiting: Waiting) -> float:
        rule = adaptive_rule(config, waiting.plan, p)
        assert rule is not None
        return wait_by(rule)(waiting)

    return policy


@contextmanager
def _ray(
    loss: LossLike,
    optimizer: optax.GradientTransformation,
    codec: Codec | None,
    config: Any,
) -> Iterator[TrainingPath]:
    """A process for each worker, on this machine or those of config.ray.address.

    Those of an option in parts have a process for each worker, not for each message.
    The processes outlive a run: the next one finds them started.
    """
    from jgc.distributed import WorkerPool, ray

    settings, option = config.ray, read_option(config)
    hosts = option.parts.worker if option and option.parts else None
    processes = config.num_workers if hosts is None else int(hosts.max()) + 1
    with WorkerPool(
        processes, spares=settings.spares, address=settings.address
    ) as pool:
        yield ray(
            loss,
            optimizer,
            pool=pool,
            policy=policy_of(config),
            codec=codec,
            chunk_size=config.chunk_size or None,
            hosts=hosts,
        )


# path(loss, optimizer, codec, config), open while runs use it.
PATHS: dict[
    str,
    Callable[
        [LossLike, optax.GradientTransformation, Codec | None, Any],
        AbstractContextManager[TrainingPath],
    ],
] = {"simulated": _simulated, "spmd": _spmd, "ray": _ray}
