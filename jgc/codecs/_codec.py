"""What a codec is."""

from abc import ABC, abstractmethod
from typing import ClassVar

import jax
from jaxtyping import Array, Float, PyTree


class Codec(ABC):
    """C: a message as fewer bits, and back; a frozen, hashable dataclass.

    `encode` and `decode` are pure, of static shapes, and usable under `jit`. Both get
    the same key, of one message: different workers and iterations draw independently.

    Attributes:
        name: in tables.
        is_unbiased: E C(x) = x for every x. Of one that is not, paths of training feed
            the error back: a worker adds x − C(x) of its last message that was decoded
            to the next.
    """

    name: ClassVar[str]
    is_unbiased: ClassVar[bool]

    @abstractmethod
    def encode(self, vector: Float[Array, " d"], key: Array) -> PyTree[Array]:
        """What is sent in the place of x (d,)."""

    @abstractmethod
    def decode(
        self, encoded: PyTree[Array], key: Array, size: int
    ) -> Float[Array, " d"]:
        """C(x) (d,) in float32, of what `encode` gave with the same key."""

    @abstractmethod
    def expected_error(self, vector: Float[Array, " d"]) -> Float[Array, ""]:
        """E‖C(x) − x‖² of this x, exactly, over keys."""

    def relative_variance(self, size: int) -> float | None:
        """ω with E‖C(x) − x‖² = ω‖x‖² for every x (d,); None if it depends on x.

        Args:
            size: d.
        """
        return None

    def bits(self, size: int) -> int:
        """Of a message of d entries, scales included."""
        shapes = jax.eval_shape(
            self.encode,
            jax.ShapeDtypeStruct((size,), jax.numpy.float32),
            jax.random.key(0),
        )
        return 8 * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))
