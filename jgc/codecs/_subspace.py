"""Projection on a random subspace, drawn by the key: no direction is favoured."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc import _checks
from jgc.codecs._codec import Codec


@dataclass(frozen=True)
class RandomSubspace(Codec):
    factor: int
    name: ClassVar[str] = "random subspace"
    is_unbiased: ClassVar[bool] = True

    def _signs(self, key: Array, size: int) -> Float[Array, "factor m"]:
        columns = -(-size // self.factor)
        return jax.random.rademacher(key, (self.factor, columns), jnp.float32)

    def _rows(self, vector: Float[Array, " d"]) -> Float[Array, "factor m"]:
        columns = -(-vector.size // self.factor)
        padding = self.factor * columns - vector.size
        rows = jnp.pad(vector.astype(jnp.float32), (0, padding))
        return rows.reshape(self.factor, columns)

    def encode(self, vector: Float[Array, " d"], key: Array) -> Float[Array, " m"]:
        return (self._signs(key, vector.size) * self._rows(vector)).sum(axis=0)

    def decode(
        self, encoded: Float[Array, " m"], key: Array, size: int
    ) -> Float[Array, " d"]:
        return (self._signs(key, size) * encoded).reshape(-1)[:size]

    def expected_error(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        # Each entry carries the others of its group: (s − 1)‖x_group‖².
        entries = self._rows(jnp.ones_like(vector)).sum(axis=0)
        return ((entries - 1) * (self._rows(vector) ** 2).sum(axis=0)).sum()

    def relative_variance(self, size: int) -> float | None:
        return None if size % self.factor else self.factor - 1.0


def random_subspace(factor: int) -> Codec:
    """1/s of the numbers: x projected on a random subspace of d/s dimensions, times s.

    Groups of s entries are summed up under random signs σ; what is decoded is
    s UᵀUx = σ Σ σx for U with those signs over √s as orthonormal rows. E UᵀU = Id/s, so
    that it is unbiased, and ω = s − 1 exactly, the least of any unbiased form of the
    projection that [14] uses; signs come from the key and are not sent. A row costs d
    additions where a dense subspace would cost d²/s.

    Args:
        factor: s, how many times fewer numbers.

    Raises:
        ValueError: s < 1.

    Example:
        >>> codec = random_subspace(4)
        >>> codec.relative_variance(1000), codec.bits(1000)
        (3.0, 8000)
    """
    return RandomSubspace(_checks.count("factor", factor))
