"""Random masks by the block: the part of Monte Carlo that bounds its speed.

Block b of a key holds the same trials whatever else is drawn, on any device. Bits are
Threefry-2x32 of 20 rounds, the generator of `jax.random`, with the rounds written out:
XLA then fuses them into vector code, 8 to 15 times the rate of `jax.random.bits` on a CPU.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt32

from jgc.stragglers import StragglerModel

# Words that a block draws: with the masks as numbers, 2 MiB, about a core's L2 cache.
_WORDS_PER_BLOCK = 1 << 18
_LARGEST_BLOCK = 1 << 13
_SMALLEST_BLOCK = 1 << 5

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA  # of Threefry's key schedule


def block_size(num_workers: int) -> int:
    """Trials per block: a power of 2 that depends on k alone."""
    size = max(1, _WORDS_PER_BLOCK // num_workers)
    size = 1 << (size.bit_length() - 1)
    return min(max(size, _SMALLEST_BLOCK), _LARGEST_BLOCK)


class Thresholds(NamedTuple):
    """Bernoulli probabilities as 32-bit thresholds: answers = (word < at) ^ flipped.

    The rarer of the two outcomes is compared, so that probabilities 0 and 1 are exact
    and nothing overflows. `fraction` is what the threshold leaves of 2^32 times the
    probability; each block rounds up with this probability, once per worker, so that
    the masks have no bias from rounding (trials of one block are correlated by 2^-32).

    Attributes:
        at: threshold in 0 … 2^31.
        fraction: in [0, 2^32), as 32 bits.
        flipped: whether straggling is the rarer outcome.
    """

    at: UInt32[np.ndarray, " k"]
    fraction: UInt32[np.ndarray, " k"]
    flipped: Bool[np.ndarray, " k"]


def thresholds(p: Float[np.ndarray, " k"]) -> Thresholds:
    """Of straggler probabilities p."""
    p = np.asarray(p, np.float64)
    flipped = p < 0.5
    scaled = np.where(flipped, p, 1 - p) * 2.0**32
    at = np.floor(scaled)
    fraction = np.floor((scaled - at) * 2.0**32)
    return Thresholds(at.astype(np.uint32), fraction.astype(np.uint32), flipped)


def key_words(key: PRNGKeyArray) -> UInt32[Array, " 2"]:
    """Two words to key Threefry with, from a key of any of JAX's generators.

    Raises:
        ValueError: `key` is not one JAX key.
    """
    try:
        words = jax.random.bits(key, (2,), jnp.uint32)
    except (TypeError, ValueError):
        raise ValueError(
            f"key must be one JAX random key, as jax.random.key(0), got {key!r}"
        ) from None
    return words


def bernoulli_words(
    words: UInt32[Array, " 2"], block: UInt32[Array, ""], num_workers: int, size: int
) -> tuple[UInt32[Array, "k size"], UInt32[Array, " k"]]:
    """Random words of one block: one per worker and trial, and one per worker."""
    half = size // 2
    worker = jax.lax.broadcasted_iota(jnp.uint32, (num_workers, half), 0)
    trial = jax.lax.broadcasted_iota(jnp.uint32, (num_workers, half), 1)
    first, second = _threefry(words, worker * jnp.uint32(half) + trial, block)
    drawn = jnp.stack([first, second], axis=1).reshape(num_workers, size)
    counter = jnp.arange(num_workers, dtype=jnp.uint32)
    rounding, _ = _threefry(words, counter + jnp.uint32(num_workers * half), block)
    return drawn, rounding


def bernoulli_mask(
    drawn: UInt32[Array, "k size"], rounding: UInt32[Array, " k"], limits: Thresholds
) -> Bool[Array, "k size"]:
    """True for workers that answered, from `bernoulli_words`."""
    at = limits.at + (rounding < limits.fraction).astype(jnp.uint32)
    return (drawn < at[:, None]) ^ limits.flipped[:, None]


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


def is_stateful(model: StragglerModel, key: PRNGKeyArray) -> bool:
    """Whether a model's iterations depend on one another."""
    init: Callable[[PRNGKeyArray], object] = model.init
    return bool(jax.tree.leaves(jax.eval_shape(init, key)))


def _threefry(
    key: UInt32[Array, " 2"], counter: UInt32[Array, "*shape"], block: UInt32[Array, ""]
) -> tuple[UInt32[Array, "*shape"], UInt32[Array, "*shape"]]:
    """Threefry-2x32-20 of (counter, block); Salmon et al., SC 2011."""
    schedule = (key[0], key[1], key[0] ^ key[1] ^ jnp.uint32(_PARITY))
    x = counter + schedule[0]
    y = jnp.broadcast_to(block.astype(jnp.uint32), counter.shape) + schedule[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            y = (y << rotation) | (y >> (32 - rotation))
            y = x ^ y
        x = x + schedule[(group + 1) % 3]
        y = y + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return x, y
