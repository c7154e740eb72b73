"""Loss against iteration, computation load and traffic, on pages."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.common.pictures import Style, legend_below, page
from experiments.train.report.groups import Curve, Group
from experiments.train.report.panels import Panel, panels_of

_ROWS = 3  # panels of a page


def draw_curves(
    groups: list[Group], curve_of: Callable[[Group], Curve], *, name: str
) -> list[Figure]:
    """The pages: a row a deadline and optimizer; iterations left, load right of them.

    Where there are codecs, traffic is on the right of both.

    Args:
        groups: all of an experiment.
        curve_of: what is drawn of each.
        name: of that, for the axis.
    """
    panels = panels_of([group.run for group in groups])
    titles = list(dict.fromkeys(group.title for group in groups))
    styles = {title: Style.of(i) for i, title in enumerate(titles)}
    curves = [curve_of(group) for group in groups]
    costs = [cost for cost in _COSTS if groups[0].has(cost.column)]
    limits = _limits(curves)
    pages = []
    for start in range(0, len(panels), _ROWS):
        rows = panels[start : start + _ROWS]
        figure, axes = page(len(rows), len(costs), num_entries=len(titles))
        for panel, row in zip(rows, axes, strict=True):
            _draw_panel(panel, zip(row, costs, strict=True), groups, curves, styles)
            for axis, cost in zip(row, costs, strict=True):
                axis.set_ylim(*limits)
                axis.set_xscale(cost.scale)
            row[0].set_title(_title(panel, groups), loc="left")
        for axis, cost in zip(axes[-1], costs, strict=True):
            axis.set_xlabel(cost.label if len(costs) < 3 else cost.short)
        figure.supylabel(f"{name}, mean and spread over seeds", fontsize="medium")
        legend_below(figure, axes)
        pages.append(figure)
    return pages


class _Cost(NamedTuple):
    """What an iteration takes of something: `column` of the results; 1 of itself."""

    column: str
    label: str
    short: str
    scale: str = "linear"


_COSTS = (
    _Cost("", "iteration", "iteration"),
    _Cost(
        "load",
        "gradients computed per partition (iteration × load)",
        "gradients per partition",
    ),
    # Codecs differ by orders of magnitude.
    _Cost("megabytes", "MB of all workers' messages", "MB of messages", "log"),
)


def _draw_panel(
    panel: Panel,
    row: Iterable[tuple[Any, _Cost]],
    groups: list[Group],
    curves: list[Curve],
    styles: dict[str, Style],
) -> None:
    for axis, cost in row:
        for group, curve in zip(groups, curves, strict=True):
            if panel.shows(group.run):
                each = group.mean(cost.column) if cost.column else 1.0
                _draw_loss(axis, curve, each, styles[group.title], group.title)


def _title(panel: Panel, groups: list[Group]) -> str:
    title = [] if panel.deadline is None else [f"deadline τ = {panel.deadline:g}"]
    if len({group.run.optimizer for group in groups}) > 1:
        shown = [group for group in groups if panel.shows(group.run)]
        title.append(shown[-1].run.optimizer_title)
    return ", ".join(title)


def _limits(curves: list[Curve]) -> tuple[float, float]:
    """Of losses on all pages: no run that diverges rules them."""
    means = [known[np.isfinite(known)] for known in map(_mean, curves)]
    means = [mean for mean in means if mean.size] or [np.zeros(1)]
    start = max(float(mean[0]) for mean in means)
    highest = max(float(mean.max()) for mean in means)
    lowest = min(float(mean.min()) for mean in means)
    margin = 0.05 * (start - lowest)
    # What is far above the start is cut off; what is a little above is shown.
    top = min(highest, start + 0.5 * (start - lowest))
    if margin <= 0:
        top, margin = start, 0.05 * abs(start) or 1.0
    return lowest - margin, top + margin


def _mean(curve: Curve) -> Float[np.ndarray, " times"]:
    """Over the seeds in which somebody answered; NaN where in none."""
    return np.ma.masked_invalid(curve.values).mean(0).filled(np.nan)


def _draw_loss(axis: Any, curve: Curve, each: float, style: Style, title: str) -> None:
    work = each * curve.iterations
    mean = _mean(curve)
    spread = np.ma.masked_invalid(curve.values).std(0).filled(np.nan)
    axis.plot(work, mean, color=style.color, linestyle=style.line, label=title)
    low, high = mean - spread, mean + spread
    axis.fill_between(work, low, high, color=style.color, alpha=0.12, linewidth=0)
