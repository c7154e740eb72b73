"""Each worker's message through a codec, and what a biased codec leaves for the next.

Error feedback with stragglers [ours]: a worker adds to its message f_i what is left
over, e_i, and keeps f_i + e_i − C(f_i + e_i) once it knows that the message was
decoded. One that came too late leaves e_i as it was: the code makes up for what
stragglers did not say, and it must not be said twice.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from jgc.codecs import Codec
from jgc.training._loss import Params
from jgc.training._state import run_keys


class Coded(NamedTuple):
    """The decoding of an iteration's messages.

    Attributes:
        encoding: A (k, n).
        weights: of the decoder; a row of each track where there are several.
        answered: whose messages are decoded.
    """

    encoding: Float[Array, "k n"]
    weights: Float[Array, "*rows k"]
    answered: Bool[Array, " k"]


def message_key(key: Array, iteration: Any, worker: Any) -> Array:
    """Of one message, for its codec; `key` is the run's."""
    of_iteration = jax.random.fold_in(run_keys(key).messages, iteration)
    return jax.random.fold_in(of_iteration, worker)


def keys_of_messages(key: Array, iteration: Any, num_workers: int) -> Array:
    """Those of all workers (k,)."""
    workers = jnp.arange(num_workers)
    return jax.vmap(lambda worker: message_key(key, iteration, worker))(workers)


def vector_of(params: Params) -> tuple[int, np.dtype]:
    """Size and precision of the parameters as one vector."""
    vector = jax.eval_shape(lambda tree: ravel_pytree(tree)[0], params)
    return vector.size, vector.dtype


def check_codec(codec: Codec | None) -> None:
    """Before any work.

    Raises:
        ValueError: it is none.
    """
    if codec is not None and not isinstance(codec, Codec):
        raise ValueError(f"codec must be None or of jgc.codecs, got {codec!r}")


def first_memory(codec: Codec | None, num_workers: int, params: Params) -> Any:
    """What is left over before the first iteration (k, d); () of unbiased codecs."""
    if codec is None or codec.is_unbiased:
        return ()
    size, dtype = vector_of(params)
    return jnp.zeros((num_workers, size), dtype)


def through(
    codec: Codec,
    messages: Params,
    coded: Coded,
    memory: Any,
    key: Array,
    iteration: Array,
) -> tuple[Params, Any]:
    """Σ_i w_i C(f_i), of the parameters' shapes, and the memory after it.

    Args:
        codec: of all messages.
        messages: f_i, leaves (k, …).
        coded: who answered, and their weights.
        memory: of `first_memory`, or after the iteration before.
        key: of the run.
        iteration: its number.
    """
    one = jax.tree.map(lambda leaf: leaf[0], messages)
    size, dtype = vector_of(one)
    _, unravel = ravel_pytree(one)
    vectors = jax.vmap(lambda tree: ravel_pytree(tree)[0])(messages)
    if not codec.is_unbiased:
        vectors = vectors + memory
    keys = keys_of_messages(key, iteration, vectors.shape[0])
    encoded = jax.vmap(codec.encode)(vectors, keys)
    sent = jax.vmap(lambda e, key: codec.decode(e, key, size))(encoded, keys)
    if not codec.is_unbiased:
        memory = jnp.where(coded.answered[:, None], vectors - sent, memory)
    gradient = (coded.weights.astype(sent.dtype) @ sent).astype(dtype)
    return (unravel if gradient.ndim == 1 else jax.vmap(unravel))(gradient), memory
