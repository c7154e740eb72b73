"""What a run is, on any path: a code, its data, and who straggles."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool

from jgc._plan import AnyArray, CodingPlan, check_mask
from jgc.decoders import Decoder, fixed
from jgc.gradients import SimilarityEstimator
from jgc.stragglers import StragglerModel
from jgc.training._following import Following
from jgc.training._partitions import Partitions
from jgc.training._state import Report, TrainState, run_keys


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one run trains on, how it is coded, and who answers.

    Attributes:
        plan: the code, as it is believed; its p are those that it was designed for.
        data: the examples in the plan's partitions, of `partitioned`.
        decoder: how messages are decoded.
        stragglers: who answers in truth, whatever the plan believes; None: the path
            observes it, and a path that has no workers to observe is told in each step.
        following: estimates p while the run goes on and re-designs the code.
        similarity: of `jgc.gradients.following`: estimates ρ of the partition gradients
            while the run goes on, and a `mixture` of designs for several ρ is decoded
            at ρ of the iterations before. An iteration that is looked at decodes twice:
            twice the time where gradients are computed for it (`simulated`, `spmd`),
            and one more sum of the messages where they are there (`ray`).
    """

    plan: CodingPlan
    data: Partitions
    decoder: Decoder = fixed
    stragglers: StragglerModel | None = None
    following: Following | None = None
    similarity: SimilarityEstimator | None = None

    def __post_init__(self) -> None:
        """Checks that the parts fit.

        Raises:
            ValueError: data of other partitions than the plan's, a decoder that cannot
                decode it, or what is no straggler model of its workers.
        """
        k, n = self.plan.num_workers, self.plan.num_partitions
        if not isinstance(self.data, Partitions):
            raise ValueError(
                "data must be of jgc.training.partitioned, got "
                f"{type(self.data).__name__}"
            )
        if not np.array_equal(self.data.number, np.arange(n)):
            raise ValueError(
                f"data must be of all {n} partitions of the plan, got those numbered "
                f"{np.asarray(self.data.number).tolist()}"
            )
        if not isinstance(self.decoder, Decoder):
            raise ValueError(f"decoder must be of jgc.decoders, got {self.decoder!r}")
        self.decoder.check(self.plan)
        if not isinstance(self.similarity, SimilarityEstimator | None):
            raise ValueError(
                "similarity must be None or of jgc.gradients.following(), got "
                f"{self.similarity!r}"
            )
        if self.stragglers is not None:
            _check_stragglers(self.stragglers, k)


def _check_stragglers(model: StragglerModel, num_workers: int) -> None:
    """Refuses what is no straggler model of so many workers."""
    if not isinstance(model, StragglerModel):
        raise ValueError(
            "stragglers must be a jgc.stragglers.StragglerModel, such as bernoulli(p), "
            "or at_deadline(replay(trace), seconds) of a trace; got "
            f"{type(model).__name__}"
        )
    sampled = jax.eval_shape(
        lambda key: model.sample(model.init(key), key), jax.random.key(0)
    )
    if not (isinstance(sampled, tuple) and len(sampled) == 2):
        raise ValueError(
            f"stragglers.sample must return (mask, state), got {type(sampled).__name__}"
        )
    mask = sampled[0]
    if mask.shape != (num_workers,) or mask.dtype != bool:
        raise ValueError(
            f"stragglers must be of the plan's {num_workers} workers, and sample a "
            f"mask of booleans; got {mask.dtype} of shape {mask.shape}"
        )


class Run(NamedTuple):
    """The iterations of one run, while its path is open.

    Attributes:
        init: `init(key, params, model_state=()) -> state`, before the first iteration.
        step: `step(state, answered=None) -> (state, report)`, one iteration. Without
            `answered` the job's straggler model says who answers, and where there is
            none the path observes it.
    """

    init: Callable[..., TrainState]
    step: Callable[..., tuple[TrainState, Report]]


#: path(job): where a run's iterations take place.
TrainingPath: TypeAlias = Callable[[Job], AbstractContextManager[Run]]


class Answers:
    """Who answers an iteration, by what a step is told and by the job's model."""

    def __init__(self, job: Job) -> None:
        """Of one run."""
        self._num_workers, self._model = job.plan.num_workers, job.stragglers
        self._sample = None if self._model is None else jax.jit(self._model.sample)

    def init(self, key: Array) -> object:
        """The straggler model's state; () without one."""
        if self._model is None:
            return ()
        return self._model.init(run_keys(key).stragglers)

    def of(
        self, state: TrainState, answered: Bool[AnyArray, " k"] | None
    ) -> tuple[Bool[Array, " k"] | None, TrainState]:
        """The mask, None where it is for the path to observe; and the state after.

        Raises:
            ValueError: what is no mask of the workers.
        """
        if answered is not None:
            return check_mask(answered, self._num_workers), state
        if self._sample is None:
            return None, state
        key = jax.random.fold_in(run_keys(state.key).stragglers, state.iteration)
        mask, stragglers = self._sample(state.stragglers, key)
        return mask, state._replace(stragglers=stragglers)
