"""Checks of config values: errors name the key, the value and what is accepted."""

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ml_collections import ConfigDict

from experiments.common.schemes import SCHEMES


def require(
    config: ConfigDict, key: str, holds: Callable[[Any], bool], accepted: str
) -> None:
    """Raises unless `holds(config.key)`.

    Raises:
        ValueError: it does not hold, or cannot be asked of a value of this type.
    """
    value: Any = config
    for part in key.split("."):
        value = value[part]
    try:
        is_accepted = holds(value)
    except TypeError:  # such as a word where a number is compared
        is_accepted = False
    if not is_accepted:
        raise ValueError(f"config.{key} = {value!r}; accepted: {accepted}")


def require_counts(config: ConfigDict, *keys: str) -> None:
    """Raises unless each is at least 1."""
    for key in keys:
        require(config, key, lambda value: value >= 1, "at least 1")


def require_several(
    config: ConfigDict, key: str, holds: Callable[[Any], bool], accepted: str
) -> None:
    """Raises unless it has one or more values, each of which `holds`, none twice."""
    require(
        config,
        key,
        lambda values: len(values) > 0 and all(holds(value) for value in values),
        f"one or more {accepted}",
    )
    require(
        config, key, lambda values: len(set(values)) == len(values), "no repetition"
    )


def require_straggler_settings(
    config: ConfigDict,
    *,
    schemes: Collection[str] = tuple(SCHEMES),
    least_deadline: float = 1.0,
) -> None:
    """Checks schemes, deadlines and the range of ψ, which all comparisons have.

    Args:
        config: of the experiment.
        schemes: those that it accepts.
        least_deadline: what deadlines must exceed.
    """
    require_several(config, "schemes", schemes.__contains__, f"of {listed(schemes)}")
    require_several(
        config,
        "deadlines",
        lambda value: least_deadline < value < math.inf,
        f"numbers above {least_deadline:g}, the time that no worker beats",
    )
    require(config, "psi_min", lambda value: 0 < value < math.inf, "above 0")
    require(
        config,
        "psi_max",
        lambda value: config.psi_min <= value < math.inf,
        f"at least psi_min = {config.psi_min}",
    )


def listed(names: Iterable[str]) -> str:
    """The names in alphabetical order."""
    return ", ".join(sorted(names))
