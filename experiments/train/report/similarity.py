"""ρ of the partition gradients against iteration, where runs followed it."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.pictures import Style, legend_below, page
from experiments.common.tables import write_picture
from experiments.train.report.groups import Group


def write_similarity(groups: list[Group], workdir: Path) -> None:
    """Writes `similarity.png`: a panel a deadline and optimizer, a curve a scheme.

    Mean and spread over seeds of what each iteration was decoded by.
    """
    panels = list(dict.fromkeys(_panel(group) for group in groups))
    titles = list(dict.fromkeys(group.title for group in groups))
    figure, grid = page(len(panels), 1, num_entries=len(titles), sharex=True)
    for axis, panel in zip(grid[:, 0], panels, strict=True):
        for group in groups:
            if _panel(group) == panel:
                _draw(axis, group, Style.of(titles.index(group.title)))
        axis.set_title(panel, loc="left")
        axis.set_ylim(-0.02, 1.02)
    grid[-1, 0].set_xlabel("iteration")
    figure.supylabel("similarity ρ of partition gradients", fontsize="medium")
    legend_below(figure, grid)
    write_picture(workdir / "similarity.png", figure, dpi=150)


def _panel(group: Group) -> str:
    run = group.run
    deadline = [] if run.deadline is None else [f"deadline τ = {run.deadline:g}"]
    return ", ".join([*deadline, run.optimizer_title])


def _draw(axis: Any, group: Group, style: Style) -> None:
    assert group.similarity is not None
    iteration = np.arange(group.similarity.shape[1])
    mean, spread = group.similarity.mean(0), group.similarity.std(0)
    color = style.color
    axis.plot(iteration, mean, color=color, linestyle=style.line, label=group.title)
    low, high = mean - spread, mean + spread
    axis.fill_between(iteration, low, high, color=color, alpha=0.12, linewidth=0)
