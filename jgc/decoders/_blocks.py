"""Trials in blocks, where that is faster."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Shaped


def in_blocks(
    function: Callable[..., Array], *arrays: Shaped[Array, "*any trials"], size: int
) -> Array:
    """`function(*arrays)`, whose last axis is of trials, of at most `size` at once.

    On a CPU alone: a loop of many small operations is several times faster where one
    core's cache holds the numbers of a step, and where XLA does not spread each
    operation over all cores. An accelerator is filled by all trials.
    """
    trials = arrays[0].shape[-1]
    blocks = -(-trials // max(1, size))
    if blocks <= 1 or jax.default_backend() != "cpu":
        return function(*arrays)
    size = -(-trials // blocks)

    def cut(array: Array) -> Array:
        padding = [(0, 0)] * (array.ndim - 1) + [(0, blocks * size - trials)]
        rows = jnp.pad(array, padding).reshape(*array.shape[:-1], blocks, size)
        return jnp.moveaxis(rows, -2, 0)

    found = jax.lax.map(lambda parts: function(*parts), tuple(map(cut, arrays)))
    whole = jnp.moveaxis(found, 0, -2)
    return whole.reshape(*whole.shape[:-2], blocks * size)[..., :trials]
