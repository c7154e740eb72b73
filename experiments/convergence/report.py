"""The table and the pictures of `experiments.convergence`, from the data it left.

    python -m experiments.convergence.report --workdir=runs/convergence

redraws them without a run.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments.common import launch
from experiments.common.pictures import legend_below, page
from experiments.common.tables import write_markdown, write_picture

DATA = "convergence.json"
_HEADER = (
    "problem",
    "theorem",
    "deadline",
    "scheme",
    "B/(Cn²)",
    "measured, end",
    "bound, end",
    "sharper, end",
    "max ratio",
    "settles at",
)


def write_report(workdir: Path) -> None:
    """Prints tables of means ± standard errors; writes them, and the pictures.

    Raises:
        FileNotFoundError: no experiment has finished there.
    """
    if not (workdir / DATA).exists():
        raise FileNotFoundError(f"--workdir={workdir} has no {DATA}")
    curves = json.loads((workdir / DATA).read_text())["curves"]
    rows = [_row(curve) for curve in curves]
    console = Console()
    for (problem, theorem, deadline), group in itertools.groupby(
        rows, key=lambda row: row[:3]
    ):
        title = f"{problem}, τ = {deadline}: {theorem}"
        table = Table(*_HEADER[3:], title=title, title_justify="left")
        for row in group:
            table.add_row(*row[3:])
        console.print(table)
    write_markdown(workdir / "convergence.md", _HEADER, rows)
    for deadline in sorted({curve["deadline"] for curve in curves}):
        shown = [curve for curve in curves if curve["deadline"] == deadline]
        path = workdir / f"convergence-deadline{deadline:g}.png"
        write_picture(path, draw_curves(shown), dpi=150)


def _row(curve: dict[str, Any]) -> list[str]:
    return [
        curve["problem"],
        curve["theorem"],
        f"{curve['deadline']:g}",
        curve["title"],
        _number(curve["factor"]),
        f"{curve['mean'][-1]:.2e} ± {curve['standard_error'][-1]:.0e}",
        *_ends(list(curve["bounds"].values())),
        _number(curve["largest_ratio"]),
        "" if curve["limit"] is None else f"{curve['limit']:.2e}",
    ]


def _ends(bounds: list[list[float]]) -> tuple[str, str]:
    """The last values of the theorem's bound and of a sharper one."""
    if not bounds:
        return "none: biased", ""
    ends = [f"{bound[-1]:.2e}" for bound in bounds]
    return ends[0], ends[1] if ends[1:] else ""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def draw_curves(curves: list[dict[str, Any]]) -> Figure:
    """Measured curves, their bounds dashed and where biased codes settle dotted."""
    studies = list(dict.fromkeys(curve["study"] for curve in curves))
    titles = list(dict.fromkeys(curve["title"] for curve in curves))
    columns = min(2, len(studies))
    rows = -(-len(studies) // columns)
    figure, axes = page(rows, columns, num_entries=len(titles))
    for axis in axes.flat[len(studies) :]:
        axis.set_visible(False)
    for axis, study in zip(axes.flat, studies, strict=False):
        for curve in (c for c in curves if c["study"] == study):
            _draw(axis, curve, f"C{titles.index(curve['title'])}")
            axis.set(ylabel=curve["what"], xlabel="t", xscale="log", yscale="log")
            axis.set_title(f"{curve['problem']}\n{curve['theorem']}", fontsize="medium")
    legend_below(figure, axes)
    deadline = curves[0]["deadline"]
    figure.suptitle(
        f"deadline τ = {deadline:g}; dashed: the bound; dash-dotted: sharper; "
        "dotted: where the code settles",
        fontsize="medium",
    )
    return figure


def _draw(axis: Any, curve: dict[str, Any], color: str) -> None:
    t, mean = np.array(curve["iterates"]), np.array(curve["mean"])
    # At the minimum rounding may leave a gap of 0 or less, which has no logarithm.
    axis.plot(t, np.where(mean > 0, mean, np.nan), color=color, label=curve["title"])
    for bound, style in zip(curve["bounds"].values(), ("--", "-."), strict=False):
        axis.plot(t, bound, style, color=color, linewidth=1)
    if curve["limit"] is not None:
        axis.axhline(curve["limit"], linestyle=":", color=color, linewidth=1)


if __name__ == "__main__":
    launch.report(write_report)
