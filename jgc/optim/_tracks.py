"""Two estimates of one gradient, in the place of each of its leaves."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array


class Tracks(NamedTuple):
    """A parameter's gradient decoded for the first and for the second moment."""

    first: Array
    second: Array


def check_is_single(updates: optax.Updates, params: optax.Params) -> None:
    """Raises ValueError where updates are not of their parameters' shapes."""

    def shapes(tree: optax.Updates) -> object:
        leaves, structure = jax.tree.flatten(tree)
        return structure, [jnp.shape(leaf) for leaf in leaves]

    if shapes(updates) != shapes(params):
        raise ValueError(
            "the optimizer gave updates of another shape than the parameters: a "
            "decoder of two tracks needs an optimizer of two: jgc.optim.two_track_adam"
        )
