"""Logistic regression on generated data: seconds where a detector takes hours."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.convergence.problem import make_data
from experiments.train.tasks.task import Task
from jgc.training import arrays
from jgc.training._loss import Params


def make_task(config: Any) -> Task:
    """log(1 + e^{−y (xᵀβ + b)}) + λ/2 ‖β‖², y = ±1, from β = 0.

    Partitions have parameters of their own around common ones, so that leaving some
    out more often than others shows. Validation examples are drawn from all partitions.
    """
    settings, n = config.logistic, config.num_partitions
    total = settings.num_train + settings.num_validation
    low, high = settings.log_scales
    x, signal, partition = make_data(total, settings.dimension, n)
    examples = {
        "features": np.float32(x * np.logspace(low, high, settings.dimension)),
        "positive": signal > 0,
    }
    # Spread evenly: make_data has partitions one after another.
    is_train = np.zeros(total, bool)
    is_train[np.arange(settings.num_train) * total // settings.num_train] = True
    train = jax.tree.map(lambda leaf: leaf[is_train], examples)
    validation = jax.tree.map(lambda leaf: leaf[~is_train], examples)

    def loss(params: Params, examples: Any) -> Float[Array, " m"]:
        margins = jnp.where(examples["positive"], 1, -1) * _logits(params, examples)
        penalty = settings.regularizer / 2 * params["slope"] @ params["slope"]
        return jax.nn.softplus(-margins) + penalty

    def accuracy(params: Params, examples: Any) -> float:
        return float(((_logits(params, examples) > 0) == examples["positive"]).mean())

    return Task(
        loss=loss,
        init=lambda key: {
            "slope": jnp.zeros(settings.dimension),
            "intercept": jnp.zeros(()),
        },
        source=arrays(train),
        assignment=partition[is_train],
        validation_loss=jax.jit(lambda params: loss(params, validation).mean()),
        score=lambda params: {
            "accuracy": accuracy(params, validation),
            "train_accuracy": accuracy(params, train),
        },
    )


def _logits(params: Params, examples: Any) -> Float[Array, " m"]:
    return examples["features"] @ params["slope"] + params["intercept"]
