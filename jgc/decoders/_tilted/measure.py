"""What a decoder does on masks that it was not designed with."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc._plan import CodingPlan
from jgc.decoders._decoder import Decoder
from jgc.decoders._tilted.law import masks_at_once
from jgc.gradients import Gradients


def measured(
    decoder: Decoder,
    plan: CodingPlan,
    gradients: Gradients,
    batches: Iterable[
        tuple[Bool[np.ndarray, "k trials"], Float[np.ndarray, " trials"]]
    ],
) -> tuple[Float[np.ndarray, "batches n"], Float[np.ndarray, " batches"]]:
    """E[c] − 1 and E‖g − ĝ‖² over each batch of masks and probabilities, in float64."""
    chunk = masks_at_once(max(plan.num_workers, plan.num_partitions))
    gram = gradients.matrix
    factor = None if gram is None else gradients.factor(plan.num_partitions)
    rho = gradients.similarity or 0.0
    bias, error = [], []
    with jax.enable_x64(True):
        for masks, probability in batches:
            sums = [
                _sums(
                    decoder,
                    plan,
                    factor,
                    rho,
                    masks[:, start : start + chunk],
                    probability[start : start + chunk],
                )
                for start in range(0, masks.shape[1], chunk)
            ]
            bias.append(sum(np.asarray(of_chunk[0]) for of_chunk in sums))
            error.append(sum(float(of_chunk[1]) for of_chunk in sums))
    return np.array(bias), np.array(error)


@jax.jit
def _sums(
    decoder: Decoder,
    plan: CodingPlan,
    factor: Float[Array, "n rank"] | None,
    similarity: float | Array,
    masks: Bool[Array, "k trials"],
    probability: Float[Array, " trials"],
) -> tuple[Float[Array, " n"], Array]:
    off = decoder.coefficients(plan, masks) - 1
    if factor is None:
        own = (1 - similarity) * (off**2).sum(axis=0)
        errors = own + similarity * off.sum(axis=0) ** 2
    else:
        errors = (jnp.matmul(factor.T, off) ** 2).sum(axis=0)
    return off @ probability, errors @ probability
