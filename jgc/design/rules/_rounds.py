"""What a waiting rule makes of recorded rounds: their lengths, and who is decoded."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import AnyArray
from jgc.design.rules._past import Past
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

    A rule that adapts sees what came in time in the rounds before, and no late answer.

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

    Raises:
        ValueError: `worker` does not name a worker for each column.

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
    rows = jnp.asarray(seconds, float)
    k = rows.shape[1]
    sender = np.arange(k)
    if worker is not None:
        sender = _checks.integers("worker", worker, size=k, below=k)
    if interruptible and not rule.is_adaptive:
        waited, answered = _at_once(rule, rows)
    else:
        waited, answered = _in_turn(
            rule, rows, sender, int(sender.max()) + 1, interruptible=interruptible
        )
    return Rounds(np.asarray(waited, np.float64), np.asarray(answered))


@jax.jit
def _at_once(
    rule: Rule, seconds: Float[Array, "T k"]
) -> tuple[Float[Array, " T"], Bool[Array, "T k"]]:
    return jax.vmap(rule)(seconds)


@partial(jax.jit, static_argnames=("num_workers", "interruptible"))
def _in_turn(
    rule: Rule,
    seconds: Float[Array, "T k"],
    worker: Int[AnyArray, " k"],
    num_workers: int,
    *,
    interruptible: bool,
) -> tuple[Float[Array, " T"], Bool[Array, "T k"]]:
    def round(
        carry: tuple[Float[Array, " workers"], Past], row: Float[Array, " k"]
    ) -> tuple[tuple[Float[Array, " workers"], Past], tuple[Array, Array]]:
        busy, past = carry
        done = busy[worker] + row  # from the beginning of this round
        waited, answered = rule.after(past)(done)
        if rule.is_adaptive:
            past = past.then(done, answered, waited)
        if not interruptible:
            # Who is still at an earlier message has begun none of this round's.
            begun = busy <= waited
            busy = jnp.where(begun, left(done - waited, answered), busy - waited)
        return (busy, past), (waited, answered)

    def left(
        late: Float[Array, " k"], answered: Bool[Array, " k"]
    ) -> Float[Array, " workers"]:
        # Workers without data and workers that are never heard of again stay as
        # they are: inf − inf would poison the rounds that follow.
        late = jnp.where(jnp.isfinite(late), jnp.maximum(late, 0), jnp.inf)
        # The first that has not come is the one that the worker is at.
        late = jnp.where(answered, jnp.inf, late)
        first = jax.ops.segment_min(late, worker, num_workers)
        is_through = jax.ops.segment_min(answered.astype(int), worker, num_workers) > 0
        return jnp.where(is_through, 0, first)

    k, dtype = seconds.shape[1], seconds.dtype
    past = jax.tree.map(lambda x: jnp.asarray(x, dtype), Past.nothing(k))
    return jax.lax.scan(round, (jnp.zeros(num_workers, dtype), past), seconds)[1]
