"""The codes, decoders and laws of p that are compared, and what a decoder decodes to.

A method is a code at a load with a decoder. `coefficients_of_all_masks` is what any of
them makes of each of the 2^k masks, which is all that an error or a training run needs.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

import jgc
from experiments.common.schemes import HALF_COMMON, draw_psi
from jgc import codes, decoders
from jgc.decoders import Decoder
from jgc.gradients import GradientsLike

Probabilities = Float[np.ndarray, " k"]

MOST_WORKERS = 12


class Code(NamedTuple):
    """A code at a choice of loads.

    Attributes:
        title: in print.
        design: `design(p, d, key) -> plan` of n = k partitions.
        accepts: whether it exists at load d, about.
        own_weights: whether its weights are unbiased; otherwise a fixed decoder takes
            the best of its placement, `codes.on_placement`.
    """

    title: str
    design: Callable[[Probabilities, int, Array], jgc.CodingPlan]
    accepts: Callable[[int], bool] = lambda load: load > 1
    own_weights: bool = True


CODES: dict[str, Code] = {
    "uncoded": Code(
        "uncoded",
        lambda p, d, key: codes.uncoded(p, num_partitions=p.size, unbiased=True),
        accepts=lambda load: load == 1,
    ),
    # r layers have load (n + k − 1 + (r − 1)k)/n = r + 1 − 1/n at n = k.
    "interval": Code(
        "interval",
        lambda p, d, key: codes.interval(p, num_partitions=p.size, layers=d - 1),
    ),
    "stochastic": Code(
        "stochastic (SGC)",
        lambda p, d, key: codes.stochastic(
            p, num_partitions=p.size, key=key, replication=d
        ),
    ),
    "fractional_repetition": Code(
        "fractional repetition",
        lambda p, d, key: codes.fractional_repetition(
            p, num_partitions=p.size, replication=d
        ),
        own_weights=False,
    ),
    "balanced_repetition": Code(
        "balanced fractional repetition",
        lambda p, d, key: codes.fractional_repetition(
            p, num_partitions=p.size, replication=d, balanced=True
        ),
        own_weights=False,
    ),
    "cyclic_repetition": Code(
        "cyclic repetition",
        lambda p, d, key: codes.cyclic_repetition(
            p, num_partitions=p.size, num_stragglers=d - 1
        ),
    ),
    "expander": Code(
        "expander",
        lambda p, d, key: codes.expander(
            p, num_partitions=p.size, replication=d, key=key
        ),
        accepts=lambda load: load > 2,  # of 2 it is one cycle
        own_weights=False,
    ),
    # At k = 10 the pairs of five points, at load 4; few other k have one at any load.
    "block_design": Code(
        "block design",
        lambda p, d, key: codes.block_design(p, num_partitions=p.size, replication=d),
        accepts=lambda load: load > 2,
        own_weights=False,
    ),
    "random_graph": Code(
        "random graph (OD)",
        lambda p, d, key: codes.random_graph(p, num_partitions=p.size, key=key),
        accepts=lambda load: load == 2,
        own_weights=False,
    ),
}

# `make(plan, gradients)`; what "fixed" decodes is the plan of `plan_for`.
DECODERS: dict[str, Callable[[jgc.CodingPlan, GradientsLike], Decoder]] = {
    "fixed": lambda plan, gradients: decoders.fixed,
    "best_unbiased": lambda plan, gradients: decoders.best_unbiased(
        plan, gradients=gradients
    ),
    "conditional_least_squares": lambda plan, gradients: (
        decoders.conditional_least_squares(plan, gradients=gradients)
    ),
    "least_squares": lambda plan, gradients: decoders.least_squares,
    "normalised": lambda plan, gradients: decoders.normalised,
}


def _paper_law(deadline: float) -> Callable[[int, Array], Probabilities]:
    """(23) with ψ_i ~ U(0.1, 2)."""
    return lambda k, key: jgc.stragglers.deadline_probabilities(
        draw_psi(key, k, 0.1, 2.0), deadline=deadline
    )


# `draw(k, key) -> p`.
LAWS: dict[str, Callable[[int, Array], Probabilities]] = {
    "p = 0.1": lambda k, key: np.full(k, 0.1),
    "U(0.01, 0.3)": lambda k, key: np.asarray(
        jax.random.uniform(key, (k,), minval=0.01, maxval=0.3), np.float64
    ),
    **{f"psi, tau {deadline:g}": _paper_law(deadline) for deadline in (1.1, 1.5, 3.0)},
}


def plan_for(
    code: str,
    decoder: str,
    p: Probabilities,
    load: int,
    key: Array,
    gradients: GradientsLike = HALF_COMMON,
) -> jgc.CodingPlan:
    """The code's plan; for fixed weights the best on its placement."""
    plan = CODES[code].design(p, load, key)
    if decoder == "fixed" and not CODES[code].own_weights:
        return codes.on_placement(p, plan, gradients=gradients)
    return plan


def all_masks(num_workers: int) -> Bool[np.ndarray, "k masks"]:
    """Who answered; bit i of a mask's number is worker i."""
    number = np.arange(1 << num_workers)
    return (number >> np.arange(num_workers)[:, None] & 1).astype(bool)


def mask_probabilities(p: Probabilities) -> Float[np.ndarray, " masks"]:
    """Of each of `all_masks`, for independent workers."""
    answered = all_masks(p.size)
    return np.where(answered, 1 - p[:, None], p[:, None]).prod(axis=0)


def coefficients_of_all_masks(
    plan: jgc.CodingPlan, decoder: Decoder
) -> Float[np.ndarray, "n masks"]:
    """c_j of ĝ = Σ_j c_j g_j for each mask, in float64.

    Raises:
        ValueError: the decoder cannot decode this plan.
    """
    decoder.check(plan)
    with jax.enable_x64(True):
        return np.asarray(
            _coefficients(_with_all_edges(plan), decoder, all_masks(plan.num_workers))
        )


def relative_error(
    coefficients: Float[np.ndarray, "n masks"],
    probability: Float[np.ndarray, " masks"],
    similarity: float,
) -> float:
    """E‖g − ĝ‖²/‖g‖² of unit gradients, any two with inner product ρ."""
    n = coefficients.shape[0]
    off = coefficients - 1
    squared = similarity * off.sum(axis=0) ** 2 + (1 - similarity) * (off**2).sum(0)
    return float(squared @ probability / (similarity * n**2 + (1 - similarity) * n))


@jax.jit
def _coefficients(
    plan: jgc.CodingPlan, decoder: Decoder, answered: Bool[Array, "k masks"]
) -> Float[Array, "n masks"]:
    return decoder.coefficients(plan, jnp.asarray(answered))


def _with_all_edges(plan: jgc.CodingPlan) -> jgc.CodingPlan:
    """The same plan, with zeros where a worker holds nothing: one shape for all."""
    k, n = plan.num_workers, plan.num_partitions
    return jgc.CodingPlan.from_edges(
        np.repeat(np.arange(k), n),
        np.tile(np.arange(n), k),
        plan.encoding_matrix().ravel(),
        p=plan.straggler_probabilities,
        weights=plan.weights,
        num_partitions=n,
    )
