"""Weighted sums of messages, in the process that has them: decoding, part by part.

ĝ = Σ_i I_i w_i f_i (5) is a sum over nodes of such sums, so that one vector leaves a
node however many workers it has. Nothing here knows of Ray.
"""

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jgc.codecs import Codec
from jgc.distributed._messages import Expected, Leaves, all_finite, why_unusable
from jgc.training._messages import keys_of_messages

# Messages that one compiled pass adds up; more would compile for every number of them.
_AT_ONCE = (8, 4, 2, 1)


@dataclass(frozen=True)
class Decoding:
    """How the messages of a run become vectors.

    Attributes:
        codec: of the messages.
        size: d of the parameters as one vector.
        structure: of what the codec gives.
        expected: of each message.
    """

    codec: Codec
    size: int
    structure: Any
    expected: Expected


class Total(NamedTuple):
    """A weighted sum, or why there is none.

    Attributes:
        vector: (*tracks, d); None if a message is unusable.
        unusable: reasons, by the position of the message.
    """

    vector: Float[np.ndarray, "*tracks d"] | None
    unusable: dict[int, str]


def message_keys(key: np.ndarray, iteration: int, num_workers: int) -> np.ndarray:
    """Of all messages of an iteration (k, …), `jax.random.key_data`."""
    return np.asarray(_keys(key, iteration, num_workers))


@functools.partial(jax.jit, static_argnums=2)
def _keys(key: Any, iteration: Any, num_workers: int) -> Array:
    run_key = jax.random.wrap_key_data(key)
    return jax.random.key_data(keys_of_messages(run_key, iteration, num_workers))


def sum_messages(
    decoding: Decoding,
    weights: Float[np.ndarray, "*tracks m"],
    keys: np.ndarray,
    messages: Sequence[Leaves],
) -> Total:
    """Σ_i w_i C(f_i) of m ≥ 1 messages, in as few passes over memory as compile once.

    Whether they are finite is seen from the sum, and of each only if that is not.

    Args:
        decoding: of the run.
        weights: of these messages.
        keys: of these messages, `jax.random.key_data`.
        messages: as they came.
    """
    kinds = decoding.expected.message
    unusable: dict[int, str] = {}
    for i, message in enumerate(messages):
        if not isinstance(message, tuple) or kinds != tuple(
            (np.shape(leaf), np.asarray(leaf).dtype) for leaf in message
        ):
            reason = why_unusable(message, decoding.expected)
            unusable[i] = reason or "its message is not what the codec gives"
    if unusable:
        return Total(None, unusable)
    total: Any = None
    start = 0
    with _on_the_processor():
        while start < len(messages):
            count = next(c for c in _AT_ONCE if c <= len(messages) - start)
            part = slice(start, start + count)
            total = _add(
                decoding.codec,
                decoding.size,
                decoding.structure,
                total,
                weights[..., part],
                keys[part],
                tuple(messages[part]),
            )
            start += count
    vector = np.asarray(total)
    if not all_finite(vector):
        for i, message in enumerate(messages):
            reason = why_unusable(message, decoding.expected)
            if reason is not None:
                unusable[i] = reason
        if unusable:
            return Total(None, unusable)
    return Total(vector, {})


def _on_the_processor() -> Any:
    """Where the messages are; an accelerator then gets one vector."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # where JAX_PLATFORMS leaves it out
        return nullcontext()


@functools.partial(
    jax.jit, static_argnums=(0, 1, 2), donate_argnums=(3,), keep_unused=False
)
def _add(
    codec: Codec,
    size: int,
    structure: Any,
    total: Float[Array, "*tracks d"] | None,
    weights: Float[Array, "*tracks m"],
    keys: Array,
    messages: tuple[Leaves, ...],
) -> Float[Array, "*tracks d"]:
    # Messages that lie apart: stacking them would copy each once more.
    for i, leaves in enumerate(messages):
        encoded = jax.tree.unflatten(structure, leaves)
        vector = codec.decode(encoded, jax.random.wrap_key_data(keys[i]), size)
        term = weights[..., i, None].astype(vector.dtype) * vector
        total = term if total is None else total + term
    return jnp.asarray(total)
