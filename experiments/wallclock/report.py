"""The table and the picture of `experiments.wallclock`, from its rows."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.common.pictures import Style, legend_below, page
from experiments.common.tables import print_table, write_markdown, write_picture

_HEADER = (
    "scheme",
    "setting",
    "step",
    "seconds to target",
    "replay expects",
    "measured / expected",
    "iterations to target",
    "reached",
    "gap at the end",
    "iterations/s",
    "answered",
    "load",
    "largest load",
)


def write_report(rows: list[dict[str, Any]], target: float, workdir: Path) -> None:
    """Prints the table; writes `table.md` and `wallclock.png`.

    Args:
        rows: of the runs.
        target: the share of the initial gap L − L* that is to be reached.
        workdir: where to.
    """
    titles = list(dict.fromkeys(row["title"] for row in rows))
    cells = [
        _cells(title, [row for row in rows if row["title"] == title], target)
        for title in titles
    ]
    title = f"L − L* down to {target:g} of its start, mean ± deviation over seeds"
    print_table(_HEADER, cells, title=title, width=190)
    write_markdown(workdir / "table.md", _HEADER, cells)
    write_picture(workdir / "wallclock.png", draw_curves(rows, target), dpi=120)


def gap(row: dict[str, Any]) -> np.ndarray:
    """(L − L*) over its value at the start, after each iteration."""
    above = np.array(row["losses"]) - row["least_loss"]
    return above / above[0]


def first_reached(row: dict[str, Any], target: float) -> int | None:
    """The iteration after which the gap is at most `target`; None if it never is."""
    reached = np.flatnonzero(gap(row) <= target)
    return int(reached[0]) if reached.size else None


def _cells(title: str, rows: list[dict[str, Any]], target: float) -> list[str]:
    reached = [(row, first_reached(row, target)) for row in rows]
    found = [(row["seconds"][at], at) for row, at in reached if at is not None]
    expected = [row["predicted"] for row in rows if np.isfinite(row["predicted"])]
    return [
        title,
        _listed([row["setting"] for row in rows]),
        _listed([f"{row['step_size']:g}" for row in rows]),
        _spread([seconds for seconds, _ in found]),
        _spread(expected),
        _spread(
            [
                row["seconds"][at] / row["predicted"]
                for row, at in reached
                if at is not None and np.isfinite(row["predicted"])
            ]
        ),
        _spread([at for _, at in found]),
        f"{len(found)} of {len(rows)}",
        _spread([gap(row)[-1] for row in rows]),
        f"{np.mean([len(r['answered']) / r['seconds'][-1] for r in rows]):.1f}",
        f"{np.mean([np.mean(row['answered']) for row in rows]):.1f}",
        f"{np.mean([row['load'] for row in rows]):.3g}",
        f"{np.mean([row['largest_load'] for row in rows]):.3g}",
    ]


def _listed(values: list[str]) -> str:
    return ", ".join(dict.fromkeys(values))


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3g} ± {np.std(values):.1g}" if values else "–"


def draw_curves(rows: list[dict[str, Any]], target: float) -> Figure:
    """The gap against seconds, a panel a seed."""
    seeds = sorted({row["seed"] for row in rows})
    titles = list(dict.fromkeys(row["title"] for row in rows))
    styles = {title: Style.of(number) for number, title in enumerate(titles)}
    columns = min(2, len(seeds))
    figure, axes = page(
        -(-len(seeds) // columns), columns, num_entries=len(titles), sharey=True
    )
    for axis in axes.flat[len(seeds) :]:
        axis.set_visible(False)
    for row in rows:
        axes.flat[seeds.index(row["seed"])].plot(
            row["seconds"],
            np.maximum(gap(row), 1e-5),
            color=styles[row["title"]].color,
            linestyle=styles[row["title"]].line,
            label=row["title"],
        )
    for axis, seed in zip(axes.flat, seeds, strict=False):
        axis.axhline(target, color="0.5", linestyle=":")
        axis.set(yscale="log", xlabel="seconds", title=f"seed {seed}")
    for row_of_axes in axes:
        row_of_axes[0].set_ylabel("(L − L*) / its start")
    legend_below(figure, axes)
    return figure
