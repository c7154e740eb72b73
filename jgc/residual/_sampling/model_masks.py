"""Masks by the block from a straggler model."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray, UInt32

from jgc.stragglers import StragglerModel


# A loop outside `jit` is compiled anew at every call.
@partial(jax.jit, static_argnames=("model", "chains", "steps"))
def model_mask(
    model: StragglerModel,
    key: PRNGKeyArray,
    block: UInt32[Array, ""],
    *,
    chains: int,
    steps: int,
) -> Bool[Array, "k trials"]:
    """Masks of one block from a straggler model; a chain's iterations are adjacent."""

    def chain(chain_key: PRNGKeyArray) -> Bool[Array, "steps k"]:
        init_key, sample_key = jax.random.split(chain_key)

        def step(state: object, step_key: PRNGKeyArray) -> tuple[object, Array]:
            mask, state = model.sample(state, step_key)
            return state, mask

        return jax.lax.scan(
            step, model.init(init_key), jax.random.split(sample_key, steps)
        )[1]

    masks = jax.vmap(chain)(jax.random.split(jax.random.fold_in(key, block), chains))
    return masks.reshape(chains * steps, -1).T


def check_model(
    model: StragglerModel, key: PRNGKeyArray, *, num_workers: int, steps: int
) -> None:
    """Raises ValueError for other workers than the plans', or the same masks always.

    A replay that starts at the first row plays the same rows in every chain: their
    mean is not the trace's, and their standard error is 0.
    """
    mask = jax.eval_shape(lambda key: model.sample(model.init(key), key)[0], key)
    if mask.dtype != bool:
        raise ValueError(
            f"model must sample masks, got {mask.dtype}; wrap latencies in "
            "jgc.stragglers.at_deadline"
        )
    if mask.shape != (num_workers,):
        raise ValueError(
            f"model must be of the plan's {num_workers} workers, got masks of shape "
            f"{mask.shape}"
        )
    if is_stateful(model, key):
        masks = model_mask(model, key, jnp.uint32(0), chains=8, steps=max(steps, 64))
        chains = np.asarray(masks).reshape(num_workers, 8, -1)
        is_same = (chains == chains[:, :1]).all()
        if is_same and (chains != chains[:, :, :1]).any():
            raise ValueError(
                "model must depend on its key, got the same masks for 8 keys; a trace "
                "needs replay(…, random_start=True)"
            )


def is_stateful(model: StragglerModel, key: PRNGKeyArray) -> bool:
    """Whether a model's iterations depend on one another."""
    init: Callable[[PRNGKeyArray], object] = model.init
    return bool(jax.tree.leaves(jax.eval_shape(init, key)))
