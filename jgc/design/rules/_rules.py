"""When an iteration ends: waiting rules, pure functions of the workers' seconds [ours].

A rule names the moment at which the master stops waiting; whoever has answered by then
counts. It sees an answer only once it is there: `stop` with infinity in the place of
the answers that have not come says how long to wait at least, which is how the Ray
driver uses it, and with all seconds of a recorded round how the round would have ended,
which is how a plan is chosen. A rule that adapts is given the past besides.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan
from jgc._pytree import pytree
from jgc.design.rules._past import Past
from jgc.stragglers._latency import positive_deadline

Seconds = Float[Array, " k"]


class Rule:
    """When to stop waiting; a pytree, usable under `jit` and `vmap`.

    Made for one plan: workers that hold no data are neither waited for nor counted.
    """

    holds: Bool[AnyArray, " k"]

    @abstractmethod
    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        """When the rule is met, in seconds; infinite if these answers never meet it.

        Args:
            seconds: when each worker answers (k,), infinite where it does not; those
                without data are infinite too.
        """

    @property
    @abstractmethod
    def name(self) -> str:
        """What is waited for, in words."""

    @property
    def is_adaptive(self) -> bool:
        """Whether the past changes it."""
        return False

    def after(self, past: Past) -> "Rule":
        """The rule of the round that follows; this one, unless it adapts.

        Args:
            past: the rounds before.
        """
        del past
        return self

    def __call__(
        self, seconds: ArrayLike
    ) -> tuple[Float[Array, ""], Bool[Array, " k"]]:
        """One round: how long is waited, and who has answered by then.

        Once all workers with data have answered nothing is waited for, whatever the
        rule.

        Args:
            seconds: that each worker takes in this round, under its load (k,).

        Returns:
            The seconds waited, infinite if the rule is never met, and I_i (k,).
        """
        held = jnp.asarray(self.holds)
        seconds = jnp.asarray(seconds)
        last = jnp.where(held, seconds, -jnp.inf).max()
        seconds = jnp.where(held, seconds, jnp.inf)
        waited = jnp.minimum(self.stop(seconds), last)
        return waited, (seconds <= waited) & jnp.isfinite(seconds)


@pytree
@dataclass(frozen=True, eq=False)
class Deadline(Rule):
    holds: Bool[AnyArray, " k"]
    seconds: Float[AnyArray | np.generic, ""]

    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        return jnp.asarray(self.seconds, seconds.dtype)

    @property
    def name(self) -> str:
        return f"until {float(self.seconds):.4g} s"


@pytree
@dataclass(frozen=True, eq=False)
class First(Rule):
    holds: Bool[AnyArray, " k"]
    count: Int[AnyArray | np.generic, ""]

    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        return jnp.sort(seconds)[jnp.asarray(self.count) - 1]

    @property
    def name(self) -> str:
        if int(self.count) == int(np.sum(self.holds)):
            return "for all"
        return f"for the first {int(self.count)}"


@pytree
@dataclass(frozen=True, eq=False)
class Relative(Rule):
    holds: Bool[AnyArray, " k"]
    count: Int[AnyArray | np.generic, ""]
    multiple: Float[AnyArray | np.generic, ""]

    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        middle = jnp.sort(seconds)[jnp.asarray(self.count) - 1]
        return jnp.asarray(self.multiple, seconds.dtype) * middle

    @property
    def name(self) -> str:
        return f"until {float(self.multiple):.3g} times the median"


def part_of_data(share: float) -> str:
    """In print."""
    return "all of the data" if share == 1 else f"{share:.3g} of the data"


@pytree
@dataclass(frozen=True, eq=False)
class Coverage(Rule):
    holds: Bool[AnyArray, " k"]
    edge_worker: Int[AnyArray, " E"]
    edge_partition: Int[AnyArray, " E"]
    count: Int[AnyArray | np.generic, ""]
    num_partitions: int = field(metadata={"static": True})

    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        first = jax.ops.segment_min(
            seconds[jnp.asarray(self.edge_worker)],
            jnp.asarray(self.edge_partition),
            self.num_partitions,
        )
        return jnp.sort(first)[jnp.asarray(self.count) - 1]

    @property
    def name(self) -> str:
        share = int(self.count) / self.num_partitions
        return f"until {part_of_data(share)} is there"


@pytree
@dataclass(frozen=True, eq=False)
class ErrorBelow(Rule):
    holds: Bool[AnyArray, " k"]
    epsilon: Float[AnyArray | np.generic, ""]
    error: Callable[[Bool[Array, "k trials"]], Float[Array, " trials"]] = field(
        metadata={"static": True}
    )

    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        order = jnp.argsort(seconds)
        rank = jnp.argsort(order)
        prefixes = rank[:, None] < 1 + jnp.arange(seconds.size)
        met = self.error(prefixes) <= jnp.asarray(self.epsilon)
        # The first time, as a rule cannot know what a longer wait would bring.
        at = jnp.argmax(met)
        return jnp.where(met.any(), seconds[order][at], jnp.inf)

    @property
    def name(self) -> str:
        return f"until the error is below {float(self.epsilon):.3g}"


@pytree
@dataclass(frozen=True, eq=False)
class Combined(Rule):
    holds: Bool[AnyArray, " k"]
    one: Rule
    other: Rule
    is_earliest: bool = field(metadata={"static": True})

    def stop(self, seconds: Seconds) -> Float[Array, ""]:
        pick = jnp.minimum if self.is_earliest else jnp.maximum
        return pick(self.one.stop(seconds), self.other.stop(seconds))

    @property
    def is_adaptive(self) -> bool:
        return self.one.is_adaptive or self.other.is_adaptive

    def after(self, past: Past) -> Rule:
        return replace(self, one=self.one.after(past), other=self.other.after(past))

    @property
    def name(self) -> str:
        which = "or" if self.is_earliest else "and"
        when = "whichever is first" if self.is_earliest else "whichever is last"
        return f"{self.one.name} {which} {self.other.name}, {when}"


def _holders(plan: CodingPlan) -> Bool[np.ndarray, " k"]:
    return plan.batch_sizes > 0


def deadline(plan: CodingPlan, seconds: float) -> Rule:
    """Waits until the deadline τ_th (38).

    Args:
        plan: the code.
        seconds: τ_th > 0.

    Raises:
        ValueError: `seconds` is not a positive number.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> waited, answered = deadline(plan, 2.0)([0.5, 1.0, 2.5, 9.0])
        >>> float(waited), answered.tolist()
        (2.0, [True, True, False, False])
    """
    return Deadline(_holders(plan), np.float64(positive_deadline(seconds)))


def first(plan: CodingPlan, count: int) -> Rule:
    """Waits for the first m workers that hold data: k − m backup workers.

    Args:
        plan: the code.
        count: m, from 1 to the workers with data.

    Raises:
        ValueError: m out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> waited, answered = first(plan, 3)([0.5, 1.0, 2.5, 9.0])
        >>> float(waited), answered.tolist()
        (2.5, [True, True, True, False])
    """
    return First(_holders(plan), number_of_workers("count", plan, count))


def everyone(plan: CodingPlan) -> Rule:
    """Waits for all workers that hold data.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> float(everyone(plan)([0.5, 1.0, 2.5, 9.0])[0])
        9.0
    """
    return First(_holders(plan), np.int64(_holders(plan).sum()))


def relative(plan: CodingPlan, multiple: float) -> Rule:
    """Waits until a multiple of the time at which half of the workers have answered.

    Where whole rounds are slow, a deadline in seconds would cut them off.

    Args:
        plan: the code.
        multiple: at least 1.

    Raises:
        ValueError: `multiple` is not such a number.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> waited, answered = relative(plan, 1.5)([2.0, 1.0, 2.5, 9.0])
        >>> float(waited), answered.tolist()  # half have answered after 2 s
        (3.0, [True, True, True, False])
    """
    multiple = _checks.scalar("multiple", multiple, low=1.0)
    held = _holders(plan)
    return Relative(held, np.int64((held.sum() + 1) // 2), np.float64(multiple))


def coverage(plan: CodingPlan, share: float = 1.0) -> Rule:
    """Waits until a share of the partitions has arrived from someone who holds them.

    With share 1 and fractional repetition decoded by `representative` this is "one of
    each group": the gradient is exact. On an uncoded plan it is `first`.

    Args:
        plan: the code.
        share: in (0, 1], of the n partitions, rounded up.

    Raises:
        ValueError: a share out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> waited, answered = coverage(plan)([0.5, 1.0, 2.5, 9.0])
        >>> float(waited), answered.tolist()  # one of each pair
        (2.5, [True, True, True, False])
    """
    share = _checks.scalar("share", share, 0, 1)
    if share == 0:
        raise ValueError("share must be above 0, got 0")
    n = plan.num_partitions
    return Coverage(
        _holders(plan),
        np.asarray(plan.edge_worker),
        np.asarray(plan.edge_partition),
        np.int64(np.ceil(share * n * (1 - 1e-12))),
        n,
    )


def error_below(
    error: Callable[[Bool[Array, "k trials"]], Float[Array, " trials"]],
    plan: CodingPlan,
    epsilon: float,
) -> Rule:
    """Waits until the residual error of those who have answered is at most ε.

    Evaluates the error of all k prefixes of the order of arrival: for decoders that
    solve for each mask prefer `coverage`, which asks who has answered alone.

    Args:
        error: `error(answered)` of masks (k, trials): the error of what is decoded of
            these workers.
        plan: the code.
        epsilon: ε ≥ 0.

    Raises:
        ValueError: a negative ε.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> def late(answered):  # (k, trials) -> (trials,)
        ...     return 1 - answered.mean(axis=0)
        >>> float(error_below(late, plan, 0.5)([0.5, 1.0, 2.5, 9.0])[0])
        1.0
    """
    epsilon = _checks.scalar("epsilon", epsilon, low=0)
    return ErrorBelow(_holders(plan), np.float64(epsilon), error)


def earliest(one: Rule, other: Rule) -> Rule:
    """Stops when the first of two rules is met: the better of the two in a slow round.

    `earliest(coverage(plan), deadline(plan, 2.0))` is exact where that takes no more
    than two seconds.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> rule = earliest(coverage(plan), deadline(plan, 2.0))
        >>> float(rule([0.5, 1.0, 2.5, 9.0])[0])
        2.0
    """
    return _combined(one, other, is_earliest=True)


def latest(one: Rule, other: Rule) -> Rule:
    """Stops when both rules are met.

    `latest(deadline(plan, 1.0), first(plan, 6))` waits longer where a round is slow as
    a whole, rather than go on with next to nothing.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> rule = latest(coverage(plan), deadline(plan, 2.0))
        >>> float(rule([0.5, 1.0, 2.5, 9.0])[0])
        2.5
    """
    return _combined(one, other, is_earliest=False)


def _combined(one: Rule, other: Rule, *, is_earliest: bool) -> Rule:
    if not np.array_equal(one.holds, other.holds):
        raise ValueError(
            "one and other must be rules of one plan, got rules whose workers with "
            "data differ"
        )
    return Combined(one.holds, one, other, is_earliest)


def number_of_workers(name: str, plan: CodingPlan, value: int) -> np.int64:
    """A count from 1 to the workers that hold data."""
    value, most = _checks.count(name, value), int(_holders(plan).sum())
    if value > most:
        raise ValueError(
            f"{name} must be at most {most}, the workers that hold data, got {value}"
        )
    return np.int64(value)
