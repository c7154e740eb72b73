"""What a waiting rule makes of recorded rounds: their lengths, and who is decoded."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from jgc._plan import AnyArray
from jgc.design.rules._rules import Rule


class Rounds(NamedTuple):
    """Rounds under a rule.

    Attributes:
        waited: seconds that each round took (T,).
        answered: I_i of each round (T, k).
    """

    waited: Float[np.ndarray, " T"]
    answered: Bool[np.ndarray, "T k"]


def play(
    rule: Rule,
    seconds: ArrayLike,
    *,
    interruptible: bool = True,
    worker: ArrayLike | None = None,
) -> Rounds:
    """Plays rounds under a rule, in the order recorded.

    Args:
        rule: of `jgc.design.rules`.
        seconds: that the workers take in each round under their loads (T, k).
        interruptible: whether a late worker drops its work when the next round begins.
            One that cannot finishes the message that it is at, and begins late: what it
            takes then counts from when it is free, so that with deadlines one slow
            answer makes the next late as well.
        worker: whose message each column is (k,), of `jgc.codes.split`, for workers
            that send several, one after another: those not begun are dropped whether
            interruptible or not. None: each worker sends one.

    Example:
        >>> import jgc
        >>> from jgc.design import rules
        >>> plan = jgc.codes.uncoded([0.1, 0.1], num_partitions=2)
        >>> rounds = [[1.0, 3.0], [1.0, 1.0]]
        >>> play(rules.deadline(plan, 2.0), rounds).answered.tolist()
        [[True, False], [True, True]]
        >>> carried = play(rules.deadline(plan, 1.5), rounds, interruptible=False)
        >>> carried.answered.tolist()  # 1.5 s late, the second is not there either
        [[True, False], [True, False]]
    """
    rows = jnp.asarray(seconds)
    if interruptible:
        waited, answered = _fresh(rule, rows)
    else:
        sender = np.arange(rows.shape[1]) if worker is None else np.asarray(worker)
        waited, answered = _carried(rule, rows, sender, int(sender.max()) + 1)
    return Rounds(np.asarray(waited, np.float64), np.asarray(answered))


@jax.jit
def _fresh(
    rule: Rule, seconds: Float[Array, "T k"]
) -> tuple[Float[Array, " T"], Bool[Array, "T k"]]:
    return jax.vmap(rule)(seconds)


@functools.partial(jax.jit, static_argnames="num_workers")
def _carried(
    rule: Rule,
    seconds: Float[Array, "T k"],
    worker: Int[AnyArray, " k"],
    num_workers: int,
) -> tuple[Float[Array, " T"], Bool[Array, "T k"]]:
    def round(
        busy: Float[Array, " workers"], row: Float[Array, " k"]
    ) -> tuple[Float[Array, " workers"], tuple[Array, Array]]:
        done = busy[worker] + row  # from the beginning of this round
        waited, answered = rule(done)
        left = jnp.maximum(done - waited, 0)
        # Workers without data and workers that are never heard of again stay as
        # they are: inf − inf would poison the rounds that follow.
        left = jnp.where(jnp.isfinite(left), left, jnp.inf)
        # The first that has not come is the one that the worker is at.
        left = jax.ops.segment_min(
            jnp.where(answered, jnp.inf, left), worker, num_workers
        )
        is_through = jax.ops.segment_min(answered.astype(int), worker, num_workers) > 0
        return jnp.where(is_through, 0, left), (waited, answered)

    start = jnp.zeros(num_workers, seconds.dtype)
    return jax.lax.scan(round, start, seconds)[1]
