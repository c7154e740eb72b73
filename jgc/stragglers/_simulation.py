"""Masks of a straggler model, many iterations at once."""

from functools import partial

import jax
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from jgc import _checks
from jgc.stragglers._model import State, StragglerModel


def simulate(
    model: StragglerModel, key: PRNGKeyArray, num_rounds: int
) -> Bool[np.ndarray, "T k"]:
    """Who answers in each of T iterations, one after the other.

    Args:
        model: of the stragglers.
        key: a JAX random key.
        num_rounds: T ≥ 1.

    Example:
        >>> import jgc
        >>> recorded = jgc.stragglers.trace([[1.0, 5.0], [2.0, 2.0], [3.0, 1.0]])
        >>> model = jgc.stragglers.at_deadline(jgc.stragglers.replay(recorded), 2.0)
        >>> print(simulate(model, jax.random.key(0), 4))  # round 3 is the first again
        [[ True False]
         [ True  True]
         [False  True]
         [ True False]]
    """
    rounds = _checks.count("num_rounds", num_rounds)
    return np.asarray(_masks(model, key, rounds))


@partial(jax.jit, static_argnums=(0, 2))
def _masks(model: StragglerModel, key: PRNGKeyArray, rounds: int) -> Array:
    init_key, sample_key = jax.random.split(key)

    def step(state: State, step_key: PRNGKeyArray) -> tuple[State, Array]:
        mask, state = model.sample(state, step_key)
        return state, mask

    keys = jax.random.split(sample_key, rounds)
    return jax.lax.scan(step, model.init(init_key), keys)[1]
