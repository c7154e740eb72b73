"""Rules as JSON: what one process chose, another waits by."""

from collections.abc import Callable
from typing import Any

from jgc._plan import CodingPlan
from jgc.design.rules import _rules as rules
from jgc.design.rules._adaptive import Adaptive, adaptive


def to_json(rule: rules.Rule) -> dict[str, Any]:
    """The rule as an object of names, numbers and such objects.

    Raises:
        ValueError: a rule of `error_below`, whose error is a function.

    Example:
        >>> import jgc
        >>> from jgc.design import rules
        >>> plan = jgc.codes.uncoded([0.1, 0.1], num_partitions=2)
        >>> to_json(rules.first(plan, 1))
        {'rule': 'first', 'count': 1}
    """
    match rule:
        case rules.Deadline():
            return {"rule": "deadline", "seconds": float(rule.seconds)}
        case rules.First():
            return {"rule": "first", "count": int(rule.count)}
        case rules.Relative():
            return {"rule": "relative", "multiple": float(rule.multiple)}
        case rules.Coverage():
            share = int(rule.count) / rule.num_partitions
            return {"rule": "coverage", "share": share}
        case Adaptive():
            return {
                "rule": "adaptive",
                "goal": to_json(rule.goal),
                "least": int(rule.floor.count),
                "at_most": float(rule.at_most),
                "window": rule.window,
            }
        case rules.Combined():
            return {
                "rule": "earliest" if rule.is_earliest else "latest",
                "one": to_json(rule.one),
                "other": to_json(rule.other),
            }
    raise ValueError(f"{type(rule).__name__} cannot be written to a file")


def from_json(plan: CodingPlan, description: dict[str, Any]) -> rules.Rule:
    """The rule that `to_json` described, for a plan.

    Raises:
        ValueError: not such a description.
        KeyError: a part of it is missing.

    Example:
        >>> import jgc
        >>> from jgc.design import rules
        >>> plan = jgc.codes.uncoded([0.1, 0.1], num_partitions=2)
        >>> from_json(plan, {"rule": "first", "count": 1}).name
        'for the first 1'
    """
    arguments = dict(description)
    name = arguments.pop("rule")
    if name in _COMBINED:
        one, other = (from_json(plan, arguments[key]) for key in ("one", "other"))
        return _COMBINED[name](one, other)
    if name == "adaptive":
        goal = from_json(plan, arguments.pop("goal"))
        return adaptive(plan, goal, **arguments)
    if name not in _SIMPLE:
        accepted = ", ".join([*_SIMPLE, *_COMBINED, "adaptive"])
        raise ValueError(f"rule must be one of {accepted}, got {name!r}")
    return _SIMPLE[name](plan, **arguments)


_SIMPLE: dict[str, Callable[..., rules.Rule]] = {
    "deadline": rules.deadline,
    "first": rules.first,
    "relative": rules.relative,
    "coverage": rules.coverage,
}
_COMBINED: dict[str, Callable[[rules.Rule, rules.Rule], rules.Rule]] = {
    "earliest": rules.earliest,
    "latest": rules.latest,
}
