"""What is waited for in recorded rounds, what comes of it, and the rules that do so."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from jgc import decoders
from jgc._plan import CodingPlan
from jgc.codes import Split
from jgc.design import rules
from jgc.design._candidate import late
from jgc.design._runnable import Runnable

# Shares of the data that are waited for.
SHARES = (
    0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.88, 0.91, 0.94, 0.96, 0.98, 0.99,
    1.0,
)  # fmt: skip
# A rule that waits for somebody gives up at this multiple of the longest wait in the
# trace, in medians of the round: what was never seen must not hold everyone up.
_PATIENCE = 1.5


def shares(
    first: Float[np.ndarray, "T G"],
) -> Iterator[tuple[float, Float[np.ndarray, " T"]]]:
    """The share of the groups that is waited for, and how long that takes."""
    num_groups = first.shape[1]
    ordered = np.sort(first, axis=1)
    seen: set[int] = set()
    for share in (*SHARES, (num_groups - 1) / num_groups):
        count = int(np.ceil(share * num_groups * (1 - 1e-12)))
        if count < 1 or count in seen or not np.isfinite(ordered[:, count - 1]).all():
            continue
        seen.add(count)
        yield count / num_groups, ordered[:, count - 1]


def first_of(
    seconds: Float[np.ndarray, "T k"], of_each: Int[np.ndarray, " k"]
) -> Float[np.ndarray, "T G"]:
    """When the first message of each kind comes; kinds are 0, …, G − 1."""
    order = np.argsort(of_each, kind="stable")
    starts = np.searchsorted(of_each[order], np.arange(of_each.max() + 1))
    return np.minimum.reduceat(seconds[:, order], starts, axis=1)


def middle(seconds: Float[np.ndarray, "T k"]) -> Float[np.ndarray, " T"]:
    """The median as `rules.relative` has it: of an even number the lower of two."""
    return np.sort(seconds, axis=1)[:, (seconds.shape[1] + 1) // 2 - 1]


def rescaled(answered: Bool[np.ndarray, "T G"]) -> Float[np.ndarray, "T G"]:
    """What `decoders.rescaled` multiplies those by that have come."""
    count = answered.sum(1, keepdims=True)
    return answered * (answered.shape[1] / np.maximum(count, 1))


def rescaling(
    plan: CodingPlan,
    parts: Split | None,
    rule_of: Callable[[CodingPlan], rules.Rule],
    *,
    seconds: Float[np.ndarray, "T k"],
    waited: Float[np.ndarray, " T"],
) -> Runnable:
    """A plan that is told how often its messages were late, decoded by `rescaled`."""
    plan = replace(plan, straggler_probabilities=late(seconds, waited))
    parts = None if parts is None else parts._replace(plan=plan)
    return Runnable(plan, decoders.rescaled, rule_of(plan), parts)


def or_all(plan: CodingPlan, rule: rules.Rule) -> rules.Rule:
    """The rule, ended by one answer of each group: more would change nothing."""
    if plan.load == 1:
        return rule
    return rules.earliest(rule, rules.coverage(plan))


def patient(
    plan: CodingPlan,
    rule: rules.Rule,
    waited: Float[np.ndarray, " T"],
    seconds: Float[np.ndarray, "T k"],
) -> rules.Rule:
    """The rule, given up where it would take much longer than it ever has."""
    typical = middle(seconds[:, plan.batch_sizes > 0])
    if not (typical > 0).all():
        return rule
    longest = float((waited / typical).max())
    if not np.isfinite(longest):
        return rule
    return rules.earliest(rule, rules.relative(plan, max(1.0, _PATIENCE * longest)))
