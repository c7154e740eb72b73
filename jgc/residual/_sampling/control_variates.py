"""Control variates: quantities of a mask that resemble its error, of known mean.

For independent stragglers three are known in closed form whatever the code: the fixed
decoder's squared error, how many partitions nobody who answered holds, and how many
workers answered; a fourth is the weight of a trial, of mean 1. Together they explain
most of an optimal decoder's error: its standard error falls 3 to 10 times, the trials
for a given precision 10 to 100 times.

How much of each to take off comes from a pilot of trials of its own, so that the
estimate stays unbiased, and its samples independent of one another.
"""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jgc._plan import CodingPlan, coefficients_of
from jgc.gradients import Gradients
from jgc.residual._exact import exact
from jgc.residual._sampling.squared_error import ErrorEvaluator

NUM_CONTROLS = 3


def controls(
    evaluator: ErrorEvaluator,
    mask: Bool[Array, "k trials"],
    lost: Int[Array, " trials"],
) -> Float[Array, "controls trials"]:
    """The fixed decoder's error, the partitions lost, and the workers that answered."""
    fixed_error = evaluator.of_fixed(mask)
    dtype = fixed_error.dtype
    return jnp.stack([fixed_error, lost.astype(dtype), mask.sum(axis=0).astype(dtype)])


def partitions_lost(
    plan: CodingPlan, mask: Bool[Array, "k trials"]
) -> Int[Array, " trials"]:
    """How many partitions nobody who answered holds."""
    held = jnp.asarray(plan.edge_coefficient) != 0
    placement = replace(plan, edge_coefficient=held.astype(jnp.float32))
    copies = coefficients_of(placement, mask.astype(jnp.float32))
    return (copies < 0.5).sum(axis=0)


def control_means(
    plan: CodingPlan, related: Gradients
) -> Float[np.ndarray, " controls"]:
    """Expectations of `controls` for independent stragglers with the plan's p."""
    p = np.asarray(plan.straggler_probabilities, np.float64)
    held = np.asarray(plan.edge_coefficient) != 0
    all_straggle = np.ones(plan.num_partitions)
    np.multiply.at(
        all_straggle,
        np.asarray(plan.edge_partition)[held],
        p[np.asarray(plan.edge_worker)[held]],
    )
    error = exact(plan, gradients=related).mean
    return np.array([error, all_straggle.sum(), (1 - p).sum()])


class Combination(NamedTuple):
    """From what a trial gives to samples of the error; arrays, a row a plan.

    A trial gives variables: its weight w, w times the error, w times each control. A
    sample is one number or two of mean E‖g − ĝ‖²: w times the error, and this less
    what the weight and the controls explain.

    Attributes:
        offset: added to each sample.
        coefficient: of each variable.
    """

    offset: Float[np.ndarray, "plans samples"]
    coefficient: Float[np.ndarray, "plans samples variables"]

    @classmethod
    def plain(cls, plans: int, variables: int) -> "Combination":
        """W times the error alone."""
        coefficient = np.zeros((plans, 1, variables))
        coefficient[:, :, 1] = 1
        return cls(np.zeros((plans, 1)), coefficient)

    @classmethod
    def controlled(
        cls,
        means: Float[np.ndarray, "plans controls"],
        pilot: Float[np.ndarray, "plans variables trials"],
    ) -> "Combination":
        """Both; the second by regression of the first on the controls in the pilot."""
        plans, variables, _ = pilot.shape
        coefficient = np.zeros((plans, 2, variables))
        coefficient[:, :, 1] = 1
        offset = np.zeros((plans, 2))
        for i, (weight, error, *rest) in enumerate(pilot):
            # w − 1 and w (y − E[y]), of mean 0.
            known = np.stack(
                [weight - 1]
                + [y - weight * mean for y, mean in zip(rest, means[i], strict=True)]
            )
            scale = np.sqrt((known**2).mean(axis=1))
            scale = np.where(scale > 0, scale, 1)
            known = (known - known.mean(axis=1, keepdims=True)) / scale[:, None]
            # Controls that say the same, or nothing, are dropped.
            beta = np.linalg.lstsq(known.T, error - error.mean(), rcond=3e-5)[0] / scale
            coefficient[i, 1, 0] = beta[1:] @ means[i] - beta[0]
            coefficient[i, 1, 2:] = -beta[1:]
            offset[i, 1] = beta[0]
        return cls(offset, coefficient)
