"""What a decoder does on masks that it was not designed with."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc._plan import CodingPlan
from jgc.decoders._decoder import Decoder
from jgc.gradients import Gradients

# Numbers that a batch of masks may hold at once, 32 MiB.
_BATCH_ENTRIES = 1 << 22


def measured(
    decoder: Decoder,
    plan: CodingPlan,
    gradients: Gradients,
    batches: Iterable[Bool[np.ndarray, "k trials"]],
) -> tuple[Float[np.ndarray, "batches n"], Float[np.ndarray, " batches"]]:
    """The means of c − 1 and of ‖g − ĝ‖² over each batch of masks, in float64."""
    size = max(plan.num_workers, plan.num_partitions)
    chunk = max(1, _BATCH_ENTRIES // (4 * size))
    bias, error = [], []
    with jax.enable_x64(True):
        gram = gradients.matrix
        factor = None if gram is None else gradients.factor(plan.num_partitions)
        rho = gradients.similarity or 0.0
        for masks in batches:
            trials = masks.shape[1]
            of_chunks = [
                _sums(decoder, plan, factor, rho, masks[:, start : start + chunk])
                for start in range(0, trials, chunk)
            ]
            bias.append(sum(np.asarray(of[0]) for of in of_chunks) / trials)
            error.append(sum(float(of[1]) for of in of_chunks) / trials)
    return np.array(bias), np.array(error)


@jax.jit
def _sums(
    decoder: Decoder,
    plan: CodingPlan,
    factor: Float[Array, "n rank"] | None,
    similarity: float | Array,
    masks: Bool[Array, "k trials"],
) -> tuple[Float[Array, " n"], Array]:
    off = decoder.coefficients(plan, masks) - 1
    if factor is None:
        error = (1 - similarity) * (off**2).sum() + similarity * (
            off.sum(axis=0) ** 2
        ).sum()
    else:
        error = (jnp.matmul(factor.T, off) ** 2).sum()
    return off.sum(axis=1), error
