"""How long the driver waits for its workers: pure functions of what came so far.

A policy is given the state of an iteration, and says for how many more seconds to wait
at most; 0 ends the iteration. It is asked again whenever something came. Once everyone
asked has answered, nothing is waited for whatever the policy.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders import Decoder, fixed
from jgc.design.rules import Past, Rule
from jgc.gradients import GradientsLike, as_similarity
from jgc.stragglers._latency import positive_deadline


class Waiting(NamedTuple):
    """An iteration in progress.

    Attributes:
        plan: the code in use.
        answered: I_i so far (k,).
        elapsed: seconds since the parameters were sent.
        latencies: seconds that each answer took (k,), infinite where none has come.
        past: the last rounds of the run, for policies that adapt. Of an answer that
            came when its round was over, an upper limit of its seconds is there, as it
            is seen when the next round is waited for.
    """

    plan: CodingPlan
    answered: Bool[np.ndarray, " k"]
    elapsed: float
    latencies: Float[np.ndarray, " k"] | None = None
    past: Past | None = None


#: Of an iteration in progress: for how many more seconds to wait; 0 ends it.
Policy: TypeAlias = Callable[[Waiting], float]


def fixed_deadline(seconds: float) -> Policy:
    """Waits until the deadline τ_th.

    Raises:
        ValueError: `seconds` is not positive.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> seen = np.array([True, False, False, True])
        >>> fixed_deadline(2.0)(Waiting(plan, seen, elapsed=0.5))  # seconds to go on
        1.5
    """
    deadline = positive_deadline(seconds)
    return lambda waiting: max(deadline - waiting.elapsed, 0.0)


def wait_for(count: int, *, at_most: float = math.inf) -> Policy:
    """Waits for the first `count` workers.

    Args:
        count: m ≥ 1; with all k of them it is synchronous training.
        at_most: seconds after which the iteration ends with fewer.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> seen = np.array([True, False, False, True])
        >>> wait_for(2)(Waiting(plan, seen, elapsed=0.5))  # both are there
        0.0
    """
    enough = _checks.count("count", count)
    limit = _limit(at_most)

    def policy(waiting: Waiting) -> float:
        if waiting.answered.sum() >= enough:
            return 0.0
        return max(limit - waiting.elapsed, 0.0)

    return policy


def wait_for_error(
    target: float,
    *,
    decoder: Decoder = fixed,
    gradients: GradientsLike = 0.0,
    at_most: float = math.inf,
) -> Policy:
    """Waits until ‖g − ĝ‖²/‖g‖² of what has come is at most `target`.

    Good with decoders that look at the mask, such as `least_squares`. The fixed weights
    of an unbiased code overshoot when everyone answers and may never reach a small
    target: then everyone is waited for.

    Args:
        target: ≥ 0.
        decoder: the one in use.
        gradients: how the partition gradients relate, by similarity or common part.
        at_most: seconds after which the iteration ends with a larger error.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> seen = np.array([True, False, False, True])
        >>> from jgc.decoders import representative
        >>> policy = wait_for_error(0.0, decoder=representative)
        >>> policy(Waiting(plan, seen, elapsed=0.5))  # one of each pair
        0.0
    """
    target = _checks.scalar("target", target, low=0)
    as_similarity(gradients, 1)  # refused now, not in the first iteration
    limit = _limit(at_most)

    def policy(waiting: Waiting) -> float:
        rho = as_similarity(gradients, waiting.plan.num_partitions)
        error = mask_error(decoder, waiting.plan, waiting.answered, rho)
        return 0.0 if error <= target else max(limit - waiting.elapsed, 0.0)

    return policy


def wait_by(rule: Rule) -> Policy:
    """Waits by a rule of `jgc.design.rules`, such as `jgc.design.load_option` gives.

    Args:
        rule: made for the plan that is run. One that adapts (`rules.adaptive`) follows
            the last rounds of the run; one resumed begins without any.

    Example:
        >>> import jgc
        >>> from jgc.design import rules
        >>> plan = jgc.codes.uncoded([0.1] * 3, num_partitions=3)
        >>> policy = wait_by(rules.relative(plan, 2.0))
        >>> latencies = np.array([1.0, 1.5, np.inf])
        >>> policy(Waiting(plan, np.isfinite(latencies), 2.0, latencies))  # until 3 s
        1.0
    """

    def policy(waiting: Waiting) -> float:
        if waiting.latencies is None:
            raise ValueError("a rule needs the latencies of those who have answered")
        past = waiting.past if rule.is_adaptive else None
        until, _ = _apply(rule, waiting.latencies, past)
        return max(float(until) - waiting.elapsed, 0.0)

    return policy


@jax.jit
def _apply(
    rule: Rule, seconds: Float[Array, " k"], past: Past | None
) -> tuple[Float[Array, ""], Bool[Array, " k"]]:
    return (rule if past is None else rule.after(past))(seconds)


def mask_error(
    decoder: Decoder,
    plan: CodingPlan,
    mask: Bool[np.ndarray, " k"],
    similarity: float,
) -> float:
    """‖g − ĝ‖²/‖g‖² of one mask, for gradients of unit norm and similarity ρ."""
    return float(_mask_error(decoder, plan, mask, similarity))


@jax.jit
def _mask_error(
    decoder: Decoder,
    plan: CodingPlan,
    mask: Bool[Array, " k"],
    rho: Float[Array, ""],
) -> Float[Array, ""]:
    n = plan.num_partitions
    error = decoder.coefficients(plan, mask) - 1
    squared = rho * error.sum() ** 2 + (1 - rho) * (error**2).sum()
    return squared / (rho * n**2 + (1 - rho) * jnp.asarray(n))


def _limit(seconds: float) -> float:
    if not seconds > 0:
        raise ValueError(f"at_most must be above 0 seconds, got {seconds!r}")
    return float(seconds)
