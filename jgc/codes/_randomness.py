"""Randomness on the host, reproducible from a `jax.random` key."""

import jax
import numpy as np


def generator(key: jax.Array) -> np.random.Generator:
    """A NumPy generator seeded by all the bits of `key`.

    Plans are designed on the host, where edges have no fixed number.

    Raises:
        ValueError: `key` is not one key of `jax.random`.
    """
    is_typed = isinstance(key, jax.Array) and jax.dtypes.issubdtype(
        key.dtype, jax.dtypes.prng_key
    )
    if is_typed and key.ndim == 0:
        data = np.asarray(jax.random.key_data(key))
    elif not is_typed and isinstance(key, jax.Array | np.ndarray):
        data = np.asarray(key)
    else:
        data = None
    if data is None or data.ndim != 1 or data.dtype != np.uint32:
        raise ValueError(
            f"key must be one jax.random key, such as jax.random.key(0), got {key!r}"
        )
    return np.random.default_rng(data)
