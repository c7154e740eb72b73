"""A deadline that is chosen anew each round, from the rounds before it [ours]."""

from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan
from jgc._pytree import pytree
from jgc.design.rules._past import MEMORY, Past
from jgc.design.rules._rules import (
    Combined,
    Coverage,
    First,
    Rule,
    Seconds,
    number_of_workers,
)
from jgc.stragglers._latency import positive_deadline

# By so much longer is waited once no round of the window has reached the goal.
_GROWTH = 1.25


@pytree
@dataclass(frozen=True, eq=False)
class Adaptive(Rule):
    holds: Bool[AnyArray, " k"]
    goal: Rule
    floor: First
    at_most: Float[AnyArray | np.generic, ""]
    until: Float[AnyArray | np.generic, ""]  # NaN: no round has been seen
    window: int = field(metadata={"static": True})

    @property
    def is_adaptive(self) -> bool:
        return True

    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        until = jnp.asarray(self.until, seconds.dtype)
        until = jnp.where(jnp.isnan(until), self.goal.stop(seconds), until)
        until = jnp.maximum(until, self.floor.stop(seconds))
        return jnp.minimum(until, jnp.asarray(self.at_most, seconds.dtype))

    def after(self, past: Past) -> Rule:
        waited, unknown = jnp.asarray(past.waited), jnp.isnan(past.seconds)
        # An answer that is not known came, if it did, after the wait had ended: no
        # sooner than then, and possibly never.
        held = jnp.asarray(self.holds)
        soonest = jnp.where(unknown, waited[:, None], past.seconds)
        soonest = jnp.where(held, soonest, jnp.inf)
        latest = jnp.where(unknown, jnp.inf, soonest)
        low, high = jax.vmap(self.goal.stop)(soonest), jax.vmap(self.goal.stop)(latest)
        floor = jax.vmap(self.floor.stop)(soonest)

        # The floor is waited for, so when it was reached is known of every round; how
        # much longer the goal takes, of those that reached it, and of others a bound.
        is_known = jnp.isfinite(high) & (low == high)
        was = ~jnp.isnan(waited)
        ratio = _median(jnp.where(was & (floor > 0), low / floor, jnp.inf), is_known)
        reached = jnp.clip(jnp.where(jnp.isnan(ratio), 1, ratio) * floor, low, high)
        reached = jnp.where(was, reached, jnp.nan)[-self.window :]
        until = jnp.nanmedian(reached)

        # Of rounds that all miss it the time to the goal is a guess: outgrow it.
        missed = (was & (high > waited))[-self.window :].all()
        longer = jnp.where(missed, _GROWTH * waited[-1], 0)
        return replace(self, until=jnp.maximum(until, longer))

    @property
    def name(self) -> str:
        return (
            f"as long as {self.goal.name} took in the median of {self.window} rounds, "
            f"{self.floor.name} at least, {float(self.at_most):.4g} s at most"
        )


def _median(
    values: Float[Array, " M"], is_known: Bool[Array, " M"]
) -> Float[Array, ""]:
    """Of values that are known or at least so large [Kaplan & Meier 1958].

    Leaving the latter out would make it too small, round by round. The largest known
    where fewer than half are; NaN where none is. Infinite values do not count.
    """
    counts = jnp.isfinite(values)
    order = jnp.lexsort((~is_known, values))
    values, is_known = values[order], (is_known & counts)[order]
    left = counts.sum() - jnp.arange(values.size)  # of these, not smaller
    survival = jnp.cumprod(jnp.where(is_known, 1 - 1 / jnp.maximum(left, 1), 1))
    below = is_known & (survival <= 0.5)
    largest = jnp.where(is_known, values, -jnp.inf).max()
    found = jnp.where(below.any(), values[jnp.argmax(below)], largest)
    return jnp.where(is_known.any(), found, jnp.nan)


def adaptive(
    plan: CodingPlan,
    goal: Rule,
    *,
    least: int = 1,
    at_most: float,
    window: int = 5,
) -> Rule:
    """A deadline that follows the workers' speed: the median time to a goal [ours].

    Each round is waited for as long as half of the last rounds took to reach the goal,
    so that a slow round is cut off and a cluster that becomes slow as a whole is not.
    How long a round would have taken that was cut off is not known: it is taken to be
    in proportion to when `least` workers had answered, which is known of every round;
    the proportion is the median of the last 20 rounds, by Kaplan and Meier's estimate
    where some were cut off. Where no round of the window reached the goal, the deadline
    grows by a quarter a round.

    `first`, `coverage` and `relative` adapt by nature, each within its round; this is
    for what a deadline is for: rounds that one slow answer cannot hold up.

    The first round ends when the goal is reached. Whoever knows no past, such as a call
    of the rule itself, has that rule; `Rule.after` gives that of a later round.

    Args:
        plan: the code.
        goal: `first`, `coverage`, `everyone`, or what `earliest` and `latest` make of
            these.
        least: answers without which no round ends before `at_most`, from 1 to the
            workers with data; best well below what the goal needs, so that it says
            something of rounds that are cut off.
        at_most: seconds > 0 that no round takes longer than: also the length of every
            round where so many workers are gone that the goal cannot be reached.
        window: W ≥ 1, at most 20: rounds that the deadline follows. After a change it
            fits again once more than half of them are of the new speed.

    Raises:
        ValueError: an argument out of its range, or another goal.

    Example:
        >>> import jgc
        >>> from jgc.design import rules
        >>> plan = jgc.codes.uncoded([0.1] * 4, num_partitions=4)
        >>> rule = adaptive(plan, rules.first(plan, 3), at_most=60.0)
        >>> rounds = [[1.0, 2.0, 3.0, 90.0]] * 5 + [[2.0, 4.0, 6.0, 180.0]] * 5
        >>> rules.play(rule, rounds).waited.tolist()  # half as fast from the sixth on
        [3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0, 6.0, 6.0]
    """
    if not _is_monotone(goal):
        raise ValueError(
            "goal must be first, coverage, everyone, or made of these by earliest and "
            f"latest, got {goal!r}"
        )
    if not np.array_equal(goal.holds, plan.batch_sizes > 0):
        raise ValueError("goal must be a rule of plan, whose workers with data differ")
    window = _checks.count("window", window)
    if window > MEMORY:
        raise ValueError(f"window must be at most {MEMORY}, got {window}")
    return Adaptive(
        goal.holds,
        goal,
        First(goal.holds, number_of_workers("least", plan, least)),
        np.float64(positive_deadline(at_most, name="at_most")),
        np.float64(np.nan),
        window,
    )


def _is_monotone(rule: Rule) -> bool:
    """Whether it is a matter of who has answered, and more answers never undo it."""
    if isinstance(rule, Combined):
        return _is_monotone(rule.one) and _is_monotone(rule.other)
    return isinstance(rule, First | Coverage)
