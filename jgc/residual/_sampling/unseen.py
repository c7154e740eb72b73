"""What rare outcomes of single workers would add, if a model's masks lack them.

Masks of independent stragglers are drawn so that rare outcomes come (`proposals`);
those of a straggler model come as they come. Where the model says how often each worker
straggles, an outcome too rare for the sample is made by hand instead, in a few masks,
to see whether it matters.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from jgc.residual._sampling.estimates import FEWEST_EVENTS, LEAST_SAMPLES
from jgc.residual._sampling.model_masks import model_mask
from jgc.stragglers import StragglerModel

_MASKS = 256
_MOST_MASKS = 1024
_MOST_ENTRIES = 1 << 24


def rare_outcomes(
    model: StragglerModel,
    key: PRNGKeyArray,
    errors: Callable[[Bool[Array, "k trials"]], Float[Array, "plans trials"]],
    *,
    num_trials: int,
) -> tuple[Float[np.ndarray, " workers"], Float[np.ndarray, "plans workers"]]:
    """Chances of the workers' rarer outcomes, and what each adds to the error.

    Args:
        model: of the stragglers.
        key: for its masks.
        errors: of masks, by plan.
        num_trials: that may be drawn. Of many workers with rare outcomes, the most
            likely 1,024 are looked at, fewer from 16,384 workers on.
    """
    if model.probabilities is None:
        return np.zeros(0), np.zeros((1, 0))
    p = np.asarray(model.probabilities(), np.float64)
    rarer = np.minimum(p, 1 - p)
    worker = np.flatnonzero(
        (rarer > 0) & (rarer * min(num_trials, LEAST_SAMPLES) < FEWEST_EVENTS)
    )
    most = max(1, min(_MOST_MASKS, _MOST_ENTRIES // p.size))
    worker = worker[np.argsort(-rarer[worker], kind="stable")][:most]
    if worker.size == 0:
        return np.zeros(0), np.zeros((1, 0))
    each = -(-min(_MASKS, most) // worker.size)
    mask = model_mask(model, key, jnp.uint32(0), chains=worker.size * each, steps=1)
    flipped = np.repeat(worker, each), np.arange(worker.size * each)
    usual = mask.at[flipped].set(p[flipped[0]] < 0.5)
    with jax.enable_x64(True):
        added = errors(usual.at[flipped].set(p[flipped[0]] >= 0.5)) - errors(usual)
    added = np.asarray(added).reshape(-1, worker.size, each).mean(axis=-1)
    return rarer[worker], rarer[worker] * np.abs(added)
