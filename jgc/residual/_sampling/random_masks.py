"""Random masks by the block: the part of Monte Carlo that bounds its speed.

Block b of a key holds the same trials whatever else is drawn, on any device. Bits are
Threefry-2x32 of 20 rounds, the generator of `jax.random`, with the rounds written out:
XLA then fuses them into vector code, ten times the rate of `jax.random.bits` on a CPU.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, UInt32

from jgc._plan import AnyArray

# Entries of a block's masks: as numbers, a quarter at a time, they fit a core's cache.
_ENTRIES_PER_BLOCK = 1 << 18
_LARGEST_BLOCK = 1 << 14
_SMALLEST_BLOCK = 1 << 5

# 16-bit draws of one Threefry counter.
DRAWS = 4

# Trials that share the rounding of a threshold.
_ROUNDED_TOGETHER = 1 << 7

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA  # of Threefry's key schedule


def block_size(num_workers: int) -> int:
    """Trials per block: a power of 2 that depends on k alone."""
    size = max(1, _ENTRIES_PER_BLOCK // num_workers)
    size = 1 << (size.bit_length() - 1)
    return min(max(size, _SMALLEST_BLOCK), _LARGEST_BLOCK)


class Thresholds(NamedTuple):
    """Bernoulli probabilities as 16-bit thresholds: answers = (draw < at) ^ flipped.

    The rarer of the two outcomes under the first law is compared, so that
    probabilities 0 and 1 are exact and nothing overflows. `fraction` is what the
    threshold leaves of 2^16 times the probability: a threshold is rounded up with this
    probability, drawn anew for each worker and `_ROUNDED_TOGETHER` trials. So a mask
    has its probabilities to 2^-48, and 16 bits are enough for it; trials that share a
    rounding are correlated by at most 2^-16, which adds 0.2 % at most to the variance
    of a mean and mostly nothing.

    Attributes:
        at: threshold in 0 … 2^16, up to 2^15 in the first law.
        fraction: in [0, 1), as 32 bits.
        flipped: whether straggling is the rarer outcome.
    """

    at: UInt32[AnyArray, "laws k"]
    fraction: UInt32[AnyArray, "laws k"]
    flipped: Bool[AnyArray, " k"]


def thresholds(p: Float[AnyArray, "laws k"]) -> Thresholds:
    """Of straggler probabilities p, a row a law, on the host."""
    p = np.asarray(p, np.float64)
    flipped = p[0] < 0.5
    scaled = np.where(flipped, p, 1 - p) * 2.0**16
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


class PackedMasks(NamedTuple):
    """Masks of a block, `DRAWS` trials to a word: bit d of word t is trial (d, t)."""

    words: UInt32[Array, "k lanes"]
    flipped: Bool[Array, " k"]

    def plane(self, draw: UInt32[Array, ""]) -> Bool[Array, "k lanes"]:
        """The masks of trials (draw, ·)."""
        return ((self.words >> draw) & 1).astype(bool) ^ self.flipped[:, None]


def bernoulli_masks(
    words: UInt32[Array, " 2"],
    block: UInt32[Array, ""],
    limits: Thresholds,
    law: Int[Array, "draws lanes"] | None = None,
    *,
    size: int,
) -> PackedMasks:
    """One block of masks of independent stragglers, true for workers that answered.

    Args:
        words: the key, from `key_words`.
        block: the block's index, below 2^31.
        limits: the probabilities.
        law: which row of `limits` each trial follows, the first if out of range;
            None if all follow the first.
        size: trials of a block, a power of 2 from `block_size`.
    """
    laws, k = limits.at.shape
    lanes = size // DRAWS
    together = min(_ROUNDED_TOGETHER, size) // DRAWS
    shape = (k, lanes // together, together)

    def thresholds_of_block() -> UInt32[Array, "laws k groups"]:
        counter = _row_major_index(shape[:2]) + jnp.uint32(k * lanes)
        rounding, _ = _threefry(words, counter, block)
        up = rounding < jnp.asarray(limits.fraction)[:, :, None]
        return jnp.asarray(limits.at)[:, :, None] + up.astype(jnp.uint32)

    at = _materialised(thresholds_of_block, block)[:, :, :, None]

    def draw() -> UInt32[Array, "k lanes"]:
        first, second = _threefry(words, _row_major_index(shape), block)
        draws = (first & 0xFFFF, first >> 16, second & 0xFFFF, second >> 16)
        packed = jnp.zeros(shape, jnp.uint32)
        for position, value in enumerate(draws):
            limit = at[0]
            if law is not None:
                of_draw = law[position].reshape(shape[1:])
                for other in range(1, laws):
                    limit = jnp.where(of_draw == other, at[other], limit)
            packed |= jnp.where(value < limit, jnp.uint32(1 << position), 0)
        return packed.reshape(k, lanes)

    return PackedMasks(_materialised(draw, block), jnp.asarray(limits.flipped))


def trial_bits(
    words: UInt32[Array, " 2"], block: UInt32[Array, ""], *, num_workers: int, size: int
) -> UInt32[Array, "two draws lanes"]:
    """Two words a trial that no mask of the block is made of."""
    lanes = size // DRAWS
    used = num_workers * (lanes + max(1, size // _ROUNDED_TOGETHER))
    shape = (DRAWS, lanes)

    def draw() -> UInt32[Array, "two draws lanes"]:
        counter = _row_major_index(shape) + jnp.uint32(used)
        return jnp.stack(_threefry(words, counter, block))

    return _materialised(draw, block)


def _materialised(
    function: Callable[[], UInt32[Array, "*shape"]], block: UInt32[Array, ""]
) -> UInt32[Array, "*shape"]:
    """`function()`, computed once.

    XLA fuses cheap-looking producers into each of their consumers, random bits too,
    which then are drawn several times over; on the CPU an optimisation barrier does
    not hold it back. The branch of a conditional does; this one is always taken.
    """
    shape = jax.eval_shape(function)
    return jax.lax.cond(
        block < jnp.uint32(1 << 31),
        lambda: function().astype(shape.dtype),
        lambda: jnp.zeros(shape.shape, shape.dtype),
    )


def _row_major_index(shape: tuple[int, ...]) -> UInt32[Array, "*shape"]:
    index = jnp.zeros(shape, jnp.uint32)
    for axis, length in enumerate(shape):
        index = index * jnp.uint32(length) + jax.lax.broadcasted_iota(
            jnp.uint32, shape, axis
        )
    return index


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
