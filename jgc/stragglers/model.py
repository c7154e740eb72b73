"""The protocol of straggler models: a pair of pure functions, as optax has it."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, PRNGKeyArray

State = Any


class StragglerModel(NamedTuple):
    """Who answers in time, iteration after iteration; usable under `scan` and `vmap`.

    Attributes:
        init: `init(key) -> state`.
        sample: `sample(state, key) -> (mask, state)`, where mask (k,) is true for the
            workers that answered.
    """

    init: Callable[[PRNGKeyArray], State]
    sample: Callable[[State, PRNGKeyArray], tuple[Bool[Array, " k"], State]]
