"""A worker's messages through the codec, and what a biased one left over of them."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jgc.codecs import Codec, full
from jgc.distributed._messages import Leaves


class Messages:
    """Encodes; of a biased codec keeps what messages lost, and adds it to the next.

    See `jgc.training._messages` for when: a message that was not decoded has lost
    nothing, and that is known when the next one is asked for.
    """

    def __init__(self, codec: Codec) -> None:
        """For one run."""
        self._codec = codec
        # Compiled, what changes nothing would copy the message.
        self._encode = codec.encode if codec == full() else jax.jit(codec.encode)
        self._encode_more = jax.jit(self._with_memory)
        self.forget()

    def forget(self) -> None:
        """Begins anew, for other partitions or another run."""
        self._memory: dict[int, Array] = {}
        self._pending: dict[int, tuple[int, Array]] = {}

    def encode(
        self,
        vector: Float[Array, " d"],
        key: Array,
        worker: int,
        round: int,
        decoded_in: int,
    ) -> Leaves:
        """What travels.

        Args:
            vector: f_i.
            key: of the message.
            worker: i.
            round: of the message.
            decoded_in: the last round in which a message of this worker was decoded.
        """
        if self._codec.is_unbiased:
            encoded = self._encode(vector, key)
        else:
            number, left = self._pending.get(worker, (-1, None))
            if left is not None and number == decoded_in:
                self._memory[worker] = left
            memory = self._memory.setdefault(worker, jnp.zeros_like(vector))
            encoded, left = self._encode_more(vector, memory, key)
            self._pending[worker] = round, left
        return tuple(map(np.asarray, jax.tree.leaves(encoded)))

    def _with_memory(
        self, vector: Float[Array, " d"], memory: Float[Array, " d"], key: Array
    ) -> tuple[object, Float[Array, " d"]]:
        whole = vector + memory
        encoded = self._codec.encode(whole, key)
        return encoded, whole - self._codec.decode(encoded, key, whole.size)
