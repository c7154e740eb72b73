"""What a training path is."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Array, Float, Int

import jgc
from experiments.train.feeds import ExampleStream
from jgc.training import TrainState
from jgc.training._simulated import Examples, Params


class Job(NamedTuple):
    """What one run trains on, and how it is coded.

    Attributes:
        plan: the code.
        decoder: how its messages are decoded.
        examples: a leading axis over the N examples; may be on the host, or a stream.
        partition: the partition of each example.
        batch_key: of the mini-batches.
        second_moment_weights: v of (42), for optimizers of two tracks.
    """

    plan: jgc.CodingPlan
    decoder: jgc.decoders.Decoder
    examples: Examples | ExampleStream
    partition: Int[Array, " N"]
    batch_key: Array
    second_moment_weights: Float[np.ndarray, " k"] | None = None


class Iterations(NamedTuple):
    """The iterations of one run.

    Attributes:
        init: `init(params, key) -> state`, before the first iteration.
        step: `step(state, key) -> (state, row)`, one iteration with a key of its own.
            The row is what is logged: "loss", the mean training loss before the step,
            and "answered", how many workers did.
    """

    init: Callable[[Params, Array], TrainState]
    step: Callable[[TrainState, Array], tuple[TrainState, dict[str, float]]]


# path(job): the run's iterations, while they are open.
TrainingPath: TypeAlias = Callable[[Job], AbstractContextManager[Iterations]]
