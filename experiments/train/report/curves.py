"""Loss against iteration and against computation load, on pages."""

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.common.pictures import Style, legend_below, page
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.report.groups import Group
from experiments.train.specs import RunSpec

_ROWS = 3  # panels of a page


class _Panel(NamedTuple):
    """A deadline, and an optimizer with its Λ."""

    deadline: float | None
    optimizer: str
    noise_ratio: float | None

    def shows(self, run: RunSpec) -> bool:
        if run.deadline is None and run.noise_ratio is None:
            # Where all are waited for, an optimizer of two tracks is that of one.
            single_track = OPTIMIZERS[self.optimizer].single_track
            return run.optimizer in (self.optimizer, single_track)
        return self == (run.deadline, run.optimizer, run.noise_ratio)


def draw_convergence(groups: list[Group]) -> list[Figure]:
    """The pages: a row a deadline and optimizer, iterations left and load right."""
    panels = _panels([group.run for group in groups])
    titles = list(dict.fromkeys(group.title for group in groups))
    styles = {title: Style.of(i) for i, title in enumerate(titles)}
    limits = _limits(groups)
    pages = []
    for start in range(0, len(panels), _ROWS):
        rows = panels[start : start + _ROWS]
        figure, axes = page(len(rows), 2, num_entries=len(titles))
        for panel, row in zip(rows, axes, strict=True):
            _draw_panel(panel, row, groups, styles)
            row[0].set_ylim(*limits)
            row[1].set_ylim(*limits)
        axes[-1, 0].set_xlabel("iteration")
        axes[-1, 1].set_xlabel("gradients computed per partition (iteration × load)")
        figure.supylabel("training loss, mean and spread over seeds", fontsize="medium")
        legend_below(figure, axes)
        pages.append(figure)
    return pages


def _draw_panel(
    panel: _Panel, row: Any, groups: list[Group], styles: dict[str, Style]
) -> None:
    shown = [group for group in groups if panel.shows(group.run)]
    for group in shown:
        for axis, load in zip(row, (1.0, group.mean("load")), strict=True):
            _draw_loss(axis, group, load, styles[group.title])
    title = [] if panel.deadline is None else [f"deadline τ = {panel.deadline:g}"]
    if len({group.run.optimizer for group in groups}) > 1:
        title.append(shown[-1].run.optimizer_title)
    row[0].set_title(", ".join(title), loc="left")


def _limits(groups: list[Group]) -> tuple[float, float]:
    """Of losses on all pages: no run that diverges rules them."""
    means = [group.loss.mean(0) for group in groups]
    start = max(float(mean[0]) for mean in means)
    highest = max(float(np.nanmax(mean)) for mean in means)
    lowest = min(float(np.nanmin(mean)) for mean in means)
    margin = 0.05 * (start - lowest)
    # What is far above the start is cut off; what is a little above is shown.
    top = min(highest, start + 0.5 * (start - lowest))
    if not math.isfinite(top) or margin <= 0:
        top, margin = start, 0.05 * abs(start)
    return lowest - margin, top + margin


def _panels(runs: list[RunSpec]) -> list[_Panel]:
    """Those of the runs, without what only waits for everybody if anything else is."""
    panels = [_Panel(run.deadline, run.optimizer, run.noise_ratio) for run in runs]
    with_deadline = [panel for panel in panels if panel.deadline is not None]
    distinct = dict.fromkeys(with_deadline or panels)
    return sorted(distinct, key=lambda panel: panel.deadline or 0)


def _draw_loss(axis: Any, group: Group, load: float, style: Style) -> None:
    work = load * np.arange(group.loss.shape[1])
    mean, spread = group.loss.mean(0), group.loss.std(0)
    axis.plot(work, mean, color=style.color, linestyle=style.line, label=group.title)
    low, high = mean - spread, mean + spread
    axis.fill_between(work, low, high, color=style.color, alpha=0.12, linewidth=0)
