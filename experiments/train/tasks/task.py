"""What a task is: what is trained, and how it is judged."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Int, PyTree

from jgc.training import DataSource
from jgc.training._loss import LossLike, Params


class Task(NamedTuple):
    """What is trained: everything that all runs of an experiment share.

    Attributes:
        loss: `loss(params, examples)`, the losses of the examples, or of
            `jgc.training.partition_loss`.
        init: `init(key) -> params`.
        source: the training data, of N examples.
        assignment: the partition of each example (N,).
        validation_loss: `validation_loss(params)`, a scalar.
        score: `score(params)`, the named scores of a trained model, and perhaps a text
            for people under "summary".
        draw: `draw(trained, workdir)`, pictures of trained models, a title and the
            parameters of each; None if there is nothing to see.
        model_state: of the model beside its parameters, where the loss has one.
    """

    loss: LossLike
    init: Callable[[Array], Params]
    source: DataSource
    assignment: Int[np.ndarray, " N"]
    validation_loss: Callable[[Params], Array]
    score: Callable[[Params], dict[str, Any]]
    draw: Callable[[Sequence[tuple[str, Params]], Path], None] | None = None
    model_state: PyTree = ()
