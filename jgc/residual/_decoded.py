"""Moments of the decoded gradient: what it is on average, and how much it varies."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jgc._plan import CodingPlan
from jgc.decoders import Decoder, fixed
from jgc.decoders._fixed import Fixed
from jgc.gradients import Gradients, GradientsLike, as_gradients
from jgc.residual._enumeration import (
    all_coefficients,
    check_decoder,
    mask_probabilities,
)
from jgc.residual._exact import bias

# All coefficients of 2^16 masks and 100 partitions are 50 MB.
_MOST_WORKERS = 16


class DecodedMoments(NamedTuple):
    """Of ĝ = Σ_j c_j g_j over the stragglers.

    Attributes:
        mean: E[c_j] (n,); 1 where decoding is unbiased.
        variance: Var[c_j] (n,).
        squared_norm: E‖ĝ‖² = E[cᵀGc].
    """

    mean: Float[np.ndarray, " n"]
    variance: Float[np.ndarray, " n"]
    squared_norm: float


def decoded_moments(
    plan: CodingPlan,
    *,
    decoder: Decoder = fixed,
    gradients: GradientsLike | None = None,
) -> DecodedMoments:
    """E[c], Var[c] and E‖ĝ‖² for independent stragglers with the plan's p.

    In closed form for the fixed decoder, over all 2^k masks for others.

    Args:
        plan: the code; of at most 16 workers unless the decoder is fixed.
        decoder: from `jgc.decoders`, or a `Decoder` of your own.
        gradients: how the partition gradients relate, as in `exact`.

    Raises:
        ValueError: too many workers, or an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.2], num_partitions=2, unbiased=True)
        >>> moments = decoded_moments(plan)
        >>> moments.mean.tolist(), moments.variance.round(6).tolist()  # p/(1 − p)
        ([1.0, 1.0], [1.0, 0.25])
        >>> round(moments.squared_norm, 6)  # ‖g‖² = 4 and the variance
        5.25
    """
    check_decoder(decoder, plan)
    model = as_gradients(gradients, plan.num_partitions)
    if isinstance(decoder, Fixed):
        return _closed_form(plan, model)
    if plan.num_workers > _MOST_WORKERS:
        raise ValueError(
            f"plan must have at most {_MOST_WORKERS} workers for a decoder that "
            f"depends on the mask, got {plan.num_workers}"
        )
    p = np.asarray(plan.straggler_probabilities, np.float64)
    probability = mask_probabilities(p, num_workers=plan.num_workers)
    c = all_coefficients(plan, decoder)
    mean = c @ probability
    return DecodedMoments(
        mean=mean,
        variance=(c - mean[:, None]) ** 2 @ probability,
        squared_norm=float(_squared_norms(c, model) @ probability),
    )


def _closed_form(plan: CodingPlan, model: Gradients) -> DecodedMoments:
    p = np.asarray(plan.straggler_probabilities, np.float64)
    w = np.asarray(plan.weights, np.float64)
    worker, partition = np.asarray(plan.edge_worker), np.asarray(plan.edge_partition)
    a = np.asarray(plan.edge_coefficient, np.float64)
    mean = bias(plan) + 1
    spread = p * (1 - p) * w**2  # of I_i w_i
    if model.matrix is None:
        rho = model.similarity or 0.0
        aligned = np.bincount(worker, weights=a, minlength=plan.num_workers) ** 2
        orthogonal = np.bincount(worker, weights=a**2, minlength=plan.num_workers)
        norms = rho * aligned + (1 - rho) * orthogonal
    else:
        norms = _squared_norms(plan.encoding_matrix().T, model)
    variance = np.bincount(
        partition, weights=spread[worker] * a**2, minlength=plan.num_partitions
    )
    return DecodedMoments(
        mean=mean,
        variance=variance,
        squared_norm=float(_squared_norms(mean[:, None], model)[0] + spread @ norms),
    )


def _squared_norms(
    c: Float[np.ndarray, "n columns"], model: Gradients
) -> Float[np.ndarray, " columns"]:
    """cᵀGc of each column."""
    if model.matrix is not None:
        return np.einsum("jt,jt->t", c, model.matrix @ c)
    rho = model.similarity or 0.0
    return rho * c.sum(axis=0) ** 2 + (1 - rho) * (c**2).sum(axis=0)
