"""What is known of the rounds before: what a rule that adapts is chosen by."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

#: Rounds that are remembered.
MEMORY = 20


class Past(NamedTuple):
    """The last 20 rounds, the newest last; a pytree.

    Attributes:
        seconds: that each worker took (20, k). NaN where that is not known: the wait
            was over by then. An answer that came late all the same may be there.
        waited: seconds until the round was over (20,); NaN where there was none.
    """

    seconds: Float[Array | np.ndarray, "M k"]
    waited: Float[Array | np.ndarray, " M"]

    @classmethod
    def nothing(cls, num_workers: int) -> "Past":
        """Of k workers that have not played yet."""
        return cls(np.full((MEMORY, num_workers), np.nan), np.full(MEMORY, np.nan))

    def then(
        self,
        seconds: Float[Array, " k"],
        answered: Bool[Array, " k"],
        waited: Float[Array, ""],
    ) -> "Past":
        """With one more round, of which only the answers that came in time are known.

        Args:
            seconds: that each worker took (k,).
            answered: who did in time.
            waited: how long was waited.
        """
        known = jnp.where(answered, seconds, jnp.nan)
        return Past(
            jnp.concatenate([self.seconds[1:], known[None]]),
            jnp.concatenate([self.waited[1:], jnp.reshape(waited, 1)]),
        )
