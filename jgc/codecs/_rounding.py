"""Entries one by one in fewer bits: bfloat16, eight bits, one bit, signs."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int8, UInt8

from jgc import _checks
from jgc.codecs._codec import Codec

# Of the bits of a float32: those that bfloat16 has, and the last of these.
_KEPT = np.uint32(0xFFFF0000)
_UNIT = np.uint32(1 << 16)


@dataclass(frozen=True)
class Full(Codec):
    name: ClassVar[str] = "float32"
    is_unbiased: ClassVar[bool] = True

    def encode(self, vector: Float[Array, " d"], key: Array) -> Array:
        return vector

    def decode(self, encoded: Array, key: Array, size: int) -> Float[Array, " d"]:
        return encoded

    def expected_error(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        return jnp.zeros(())

    def relative_variance(self, size: int) -> float:
        return 0.0


@dataclass(frozen=True)
class Bfloat16(Codec):
    name: ClassVar[str] = "bfloat16"
    is_unbiased: ClassVar[bool] = True

    def encode(self, vector: Float[Array, " d"], key: Array) -> Array:
        # The 16 bits that are cut off, added to as many random ones, carry over with
        # the chance that they are worth.
        vector = vector.astype(jnp.float32)
        bits = jax.lax.bitcast_convert_type(vector, jnp.uint32)
        bits = bits + jax.random.bits(key, vector.shape, jnp.uint16)
        rounded = jax.lax.bitcast_convert_type(bits & _KEPT, jnp.float32)
        return jnp.where(jnp.isfinite(vector), rounded, vector).astype(jnp.bfloat16)

    def decode(self, encoded: Array, key: Array, size: int) -> Float[Array, " d"]:
        return encoded.astype(jnp.float32)

    def expected_error(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        vector = vector.astype(jnp.float32)
        bits = jax.lax.bitcast_convert_type(vector, jnp.uint32) & _KEPT
        near, far = (
            jax.lax.bitcast_convert_type(b, jnp.float32) for b in (bits, bits + _UNIT)
        )
        return jnp.sum((vector - near) * (far - vector))


class Scaled(NamedTuple):
    """Integers, and what one of them is worth in each block."""

    levels: Int8[Array, "blocks block"] | UInt8[Array, "blocks block/8"]
    scale: Float[Array, " blocks"]


def _blocks(vector: Float[Array, " d"], block: int) -> Float[Array, "blocks block"]:
    count = -(-vector.size // block)
    return jnp.pad(vector, (0, count * block - vector.size)).reshape(count, block)


@dataclass(frozen=True)
class Int8Rounding(Codec):
    block: int
    name: ClassVar[str] = "int8"
    is_unbiased: ClassVar[bool] = True

    def _scaled(self, vector: Float[Array, " d"]) -> tuple[Array, Array]:
        rows = _blocks(vector.astype(jnp.float32), self.block)
        scale = jnp.abs(rows).max(axis=1) / 127
        return rows / jnp.where(scale > 0, scale, 1)[:, None], scale

    def encode(self, vector: Float[Array, " d"], key: Array) -> Scaled:
        levels, scale = self._scaled(vector)
        uniform = jax.random.uniform(key, levels.shape)
        # x/s may end a rounding above 127, which int8 does not have.
        rounded = jnp.clip(jnp.floor(levels + uniform), -127, 127)
        return Scaled(rounded.astype(jnp.int8), scale)

    def decode(self, encoded: Scaled, key: Array, size: int) -> Float[Array, " d"]:
        values = encoded.levels.astype(jnp.float32) * encoded.scale[:, None]
        return values.reshape(-1)[:size]

    def expected_error(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        levels, scale = self._scaled(vector)
        up = levels - jnp.floor(levels)  # the chance of the level above
        return jnp.sum(scale[:, None] ** 2 * up * (1 - up))


@dataclass(frozen=True)
class OneBit(Codec):
    block: int
    name: ClassVar[str] = "one bit"
    is_unbiased: ClassVar[bool] = True

    def encode(self, vector: Float[Array, " d"], key: Array) -> Scaled:
        rows = _blocks(vector.astype(jnp.float32), self.block)
        scale = jnp.abs(rows).max(axis=1)
        share = rows / jnp.where(scale > 0, scale, 1)[:, None]
        is_up = jax.random.uniform(key, rows.shape) < (1 + share) / 2
        return Scaled(jnp.packbits(is_up, axis=1), scale)

    def decode(self, encoded: Scaled, key: Array, size: int) -> Float[Array, " d"]:
        return _signed(encoded, size)

    def expected_error(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        rows = _blocks(vector.astype(jnp.float32), self.block)
        is_entry = _blocks(jnp.ones_like(vector), self.block)
        scale = jnp.abs(rows).max(axis=1)
        return jnp.sum(is_entry * scale[:, None] ** 2 - rows**2)


@dataclass(frozen=True)
class Sign(Codec):
    block: int
    name: ClassVar[str] = "sign"
    is_unbiased: ClassVar[bool] = False

    def _sizes(self, vector: Float[Array, " d"]) -> Float[Array, " blocks"]:
        """The mean of |x| over the entries that a block has."""
        rows = jnp.abs(_blocks(vector.astype(jnp.float32), self.block)).sum(axis=1)
        return rows / _blocks(jnp.ones_like(vector), self.block).sum(axis=1)

    def encode(self, vector: Float[Array, " d"], key: Array) -> Scaled:
        is_up = _blocks(vector, self.block) >= 0
        return Scaled(jnp.packbits(is_up, axis=1), self._sizes(vector))

    def decode(self, encoded: Scaled, key: Array, size: int) -> Float[Array, " d"]:
        return _signed(encoded, size)

    def expected_error(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        entries = _blocks(jnp.ones_like(vector), self.block).sum(axis=1)
        kept = entries * self._sizes(vector) ** 2
        return jnp.sum(vector.astype(jnp.float32) ** 2) - kept.sum()


def _signed(encoded: Scaled, size: int) -> Float[Array, " d"]:
    """± the scale of each block, by its bits."""
    signs = 2.0 * jnp.unpackbits(encoded.levels, axis=1) - 1
    return (signs * encoded.scale[:, None]).reshape(-1)[:size]


def _block_of_bits(block: int) -> int:
    """Checked: whole bytes."""
    if _checks.count("block", block) % 8:
        raise ValueError(f"block must be a multiple of 8, got {block}")
    return block


def full() -> Codec:
    """Messages as they are, in float32.

    Example:
        >>> full().bits(1000), full().relative_variance(1000)
        (32000, 0.0)
    """
    return Full()


def bfloat16() -> Codec:
    """A bfloat16 next to each entry, up or down at random: 16 bits, unbiased.

    Example:
        >>> vector = jnp.array([1.0, 1.0 + 2**-8])  # halfway to the next bfloat16
        >>> bfloat16().bits(2), float(bfloat16().expected_error(vector)) == 2**-16
        (32, True)
    """
    return Bfloat16()


def int8(*, block: int = 256) -> Codec:
    """Levels of max|x|/127 a block, rounded up or down at random: 8 bits, unbiased.

    An entry x = (m + u)·s between the levels m and m + 1 adds s² u(1 − u).

    Args:
        block: entries that share a scale of 32 bits.

    Raises:
        ValueError: a block of no entries.

    Example:
        >>> vector = jnp.linspace(-1.0, 1.0, 512)
        >>> codec = int8()
        >>> encoded = codec.encode(vector, jax.random.key(0))
        >>> found = codec.decode(encoded, jax.random.key(0), 512)
        >>> bool(abs(found - vector).max() < 1 / 127), codec.bits(512)
        (True, 4160)
    """
    return Int8Rounding(_checks.count("block", block))


def one_bit(*, block: int = 256) -> Codec:
    """±max|x| of a block, the sign drawn so that the mean is x: 1 bit, unbiased.

    What 1-bit gradient coding [13] sends is a bit an entry as well; this is the form
    without bias, E‖C(x) − x‖² = Σ_blocks (|block| max|x|² − ‖x‖²). Every entry is off
    by the size of the largest: it costs more iterations than int8 saves bytes unless
    the entries of a block are of one size. `sign` needs fewer.

    Args:
        block: entries that share a scale of 32 bits, a multiple of 8.

    Raises:
        ValueError: another block.

    Example:
        >>> vector = jnp.tile(jnp.array([1.0, 0.5]), 4)
        >>> codec = one_bit(block=8)
        >>> float(codec.expected_error(vector)), codec.bits(8)  # 8 · 1 − 5; 8 + 32
        (3.0, 40)
    """
    return OneBit(_block_of_bits(block))


def sign(*, block: int = 256) -> Codec:
    """Signs, and the mean of |x| of a block: 1 bit, biased, the nearest of that form.

    ‖C(x) − x‖² = ‖x‖² − Σ_blocks ‖x‖₁²/|block|, below ‖x‖² unless x = 0: what is left
    over is less than the message, and training paths add it to the worker's next one
    (error feedback: Karimireddy et al., "Error Feedback Fixes SignSGD", 2019).

    Args:
        block: entries that share a scale of 32 bits, a multiple of 8.

    Raises:
        ValueError: another block.

    Example:
        >>> vector = jnp.tile(jnp.array([1.0, -0.5]), 4)
        >>> codec = sign(block=8)
        >>> codec.decode(codec.encode(vector, None), None, 8)[:2].tolist()
        [0.75, -0.75]
        >>> float(codec.expected_error(vector)), codec.bits(8)
        (0.5, 40)
    """
    return Sign(_block_of_bits(block))
