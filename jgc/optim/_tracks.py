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
    if jax.tree.structure(updates) != jax.tree.structure(params) or any(
        jnp.shape(update) != jnp.shape(param)
        for update, param in zip(
            jax.tree.leaves(updates), jax.tree.leaves(params), strict=True
        )
    ):
        raise ValueError(
            "the optimizer gave updates of another shape than the parameters: a decoder "
            "of two tracks needs an optimizer of two, such as jgc.optim.two_track_adam"
        )
