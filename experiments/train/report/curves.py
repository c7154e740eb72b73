"""Loss against iteration and against computation load, on pages."""

from collections.abc import Callable
from typing import Any

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
    """The pages: a row a deadline and optimizer, iterations left and load right.

    Args:
        groups: all of an experiment.
        curve_of: what is drawn of each.
        name: of that, for the axis.
    """
    panels = panels_of([group.run for group in groups])
    titles = list(dict.fromkeys(group.title for group in groups))
    styles = {title: Style.of(i) for i, title in enumerate(titles)}
    curves = [curve_of(group) for group in groups]
    limits = _limits(curves)
    pages = []
    for start in range(0, len(panels), _ROWS):
        rows = panels[start : start + _ROWS]
        figure, axes = page(len(rows), 2, num_entries=len(titles))
        for panel, row in zip(rows, axes, strict=True):
            _draw_panel(panel, row, groups, curves, styles)
            row[0].set_ylim(*limits)
            row[1].set_ylim(*limits)
        axes[-1, 0].set_xlabel("iteration")
        axes[-1, 1].set_xlabel("gradients computed per partition (iteration × load)")
        figure.supylabel(f"{name}, mean and spread over seeds", fontsize="medium")
        legend_below(figure, axes)
        pages.append(figure)
    return pages


def _draw_panel(
    panel: Panel,
    row: Any,
    groups: list[Group],
    curves: list[Curve],
    styles: dict[str, Style],
) -> None:
    shown = []
    for group, curve in zip(groups, curves, strict=True):
        if panel.shows(group.run):
            shown.append(group)
            for axis, load in zip(row, (1.0, group.mean("load")), strict=True):
                _draw_loss(axis, curve, load, styles[group.title], group.title)
    title = [] if panel.deadline is None else [f"deadline τ = {panel.deadline:g}"]
    if len({group.run.optimizer for group in groups}) > 1:
        title.append(shown[-1].run.optimizer_title)
    row[0].set_title(", ".join(title), loc="left")


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


def _draw_loss(axis: Any, curve: Curve, load: float, style: Style, title: str) -> None:
    work = load * curve.iterations
    mean = _mean(curve)
    spread = np.ma.masked_invalid(curve.values).std(0).filled(np.nan)
    axis.plot(work, mean, color=style.color, linestyle=style.line, label=title)
    low, high = mean - spread, mean + spread
    axis.fill_between(work, low, high, color=style.color, alpha=0.12, linewidth=0)
