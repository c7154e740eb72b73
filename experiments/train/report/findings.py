"""What the tables and pictures show, in a sentence each, from the numbers alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.common.schemes import find_scheme
from experiments.train.report.groups import Group
from experiments.train.report.panels import Panel, panels_of
from jgc._files import write_atomically

_MOST_PRINTED = 8
# What an iteration takes, as a sentence has it.
_COSTS = {
    "load": "equal work, {:.4g} gradients a partition, it is",
    "megabytes": "equal traffic, {:.4g} MB, it is",
}


class _Measured(NamedTuple):
    """A group's number: mean over seeds, and standard deviation."""

    group: Group
    mean: float
    spread: float


def write_findings(groups: list[Group], workdir: Path) -> None:
    """Writes `findings.md`, and prints it where it is short."""
    panels = panels_of([group.run for group in groups])
    lines = []
    for panel in panels:
        shown = [group for group in groups if panel.shows(group.run)]
        lines += [f"{_where(panel, groups)}{text}" for text in _sentences(shown)]
    path = workdir / "findings.md"
    write_atomically(path, "".join(f"- {line}\n" for line in lines))
    if len(lines) <= _MOST_PRINTED:
        print("\nWhat the figures show (means over seeds; best first):")
        for line in lines:
            print(f"- {line}")
    else:
        print(f"\nWhat the figures show is in {path}")


def _where(panel: Panel, groups: list[Group]) -> str:
    parts = [] if panel.deadline is None else [f"τ = {panel.deadline:g}"]
    if len({group.run.optimizer for group in groups}) > 1:
        run = next(group.run for group in reversed(groups) if panel.shows(group.run))
        parts.append(run.optimizer_title)
    return f"{', '.join(parts)}: " if parts else ""


def _sentences(groups: list[Group]) -> list[str]:
    """Of the groups of one panel."""
    results = groups[0].results[0]
    sentences = [_against_iterations(groups)]
    for column, text in _COSTS.items():
        if column in results:
            sentences.append(_against(groups, column, text))
    for column, name in (("ap", "validation mAP"), ("accuracy", "accuracy")):
        if column in results:
            sentences.append(_share_of_all(groups, column, name))
    if "found" in results:
        sentences.append(_found(groups))
    return sentences


def _against_iterations(groups: list[Group]) -> str:
    last = groups[0].validation.iterations[-1]
    measured = [_Measured(g, *_at(g, last)) for g in groups]
    return (
        f"validation.png, left: after {last:g} iterations the validation loss is "
        f"{_listed(measured)}."
    )


def _against(groups: list[Group], column: str, text: str) -> str:
    """After equal cost, of which an iteration takes `column`."""
    common = min(g.validation.iterations[-1] * g.mean(column) for g in groups)
    measured = [
        _Measured(g, *_at(g, common / g.mean(column)))
        for g in groups
        if common / g.mean(column) >= g.validation.iterations[0]
    ]
    return f"validation.png, right: after {text.format(common)} {_listed(measured)}."


def _share_of_all(groups: list[Group], column: str, name: str) -> str:
    """Scores, and what they are of the score where all workers are waited for."""
    measured = [_Measured(g, g.mean(column), g.spread(column)) for g in groups]
    waiting = [
        m.mean for m in measured if find_scheme(m.group.run.scheme).waits_for_all
    ]

    def share(one: _Measured) -> str:
        if not waiting or one.mean == waiting[0] or waiting[0] <= 0:
            return ""
        return f", {one.mean / waiting[0]:.0%} of waiting for all"

    listed = _listed(measured, reverse=True, more=share, decimals=3)
    return f"table.md: the {name} is {listed}."


def _found(groups: list[Group]) -> str:
    measured = [_Measured(g, g.mean("found"), g.spread("found")) for g in groups]
    ordered = sorted(measured, key=lambda one: -one.mean)
    texts = [
        f"{one.group.title} {one.mean:.0%} (doubled {one.group.mean('doubled'):.0%}, "
        f"wrong {one.group.mean('mistaken'):.0%})"
        for one in ordered
    ]
    return (
        "detections.png, counted on all validation images: of the objects, detections "
        f"find {'; '.join(texts)}."
    )


def _at(group: Group, iteration: float) -> tuple[float, float]:
    """The validation loss there, between two that were taken on a straight line."""
    curve = group.validation
    values = [np.interp(iteration, curve.iterations, own) for own in curve.values]
    return float(np.mean(values)), float(np.std(values))


def _listed(
    measured: Sequence[_Measured],
    *,
    reverse: bool = False,
    more: Callable[[_Measured], str] = lambda one: "",
    decimals: int = 2,
) -> str:
    """Best first; the spread over seeds behind each where there are several."""

    def text(one: _Measured) -> str:
        several = len(one.group.results) > 1
        spread = f" ± {one.spread:.{decimals}f}" if several else ""
        return f"{one.group.title} {one.mean:.{decimals}f}{spread}{more(one)}"

    ordered = sorted(measured, key=lambda one: -one.mean if reverse else one.mean)
    return "; ".join(text(one) for one in ordered)
