"""The table and the picture of `experiments.residual_error`, from its rows."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.common.pictures import Style, legend_below, page
from experiments.common.tables import print_table, write_markdown, write_picture

_HEADER = (
    "k",
    "deadline",
    "similarity",
    "scheme",
    "load",
    "closed form",
    "enumeration",
    "Monte Carlo",
    "± standard error",
    "disagreement",
)


def write_report(rows: list[dict[str, Any]], workdir: Path) -> None:
    """Prints the table; writes `table.md` and `residual_error.png`."""
    cells = [_cells(row) for row in rows]
    title = "E‖g − ĝ‖²/‖g‖², mean over draws of p"
    print_table(_HEADER, cells, title=title, width=140)
    write_markdown(workdir / "table.md", _HEADER, cells)
    write_picture(workdir / "residual_error.png", draw_errors(rows), dpi=120)


def disagreement(row: dict[str, Any]) -> float | None:
    """The largest |Monte Carlo − reference| in standard errors.

    None without a reference, or where the sample supports no standard error.
    """
    reference = row["exact"] or row["enumeration"]
    if reference is None or not np.isfinite(row["standard_error"]).any():
        return None
    difference = np.abs(np.subtract(row["monte_carlo"], reference))
    # An error without variance agrees to rounding, which is no standard error.
    rounding = 1e-6 * np.abs(reference)
    beyond = np.maximum(difference - rounding, 0)
    scale = np.where(beyond > 0, row["standard_error"], 1)
    return float((beyond / scale).max())


def _cells(row: dict[str, Any]) -> list[str]:
    case = row["case"]
    found = disagreement(row)
    return [
        str(case["num_workers"]),
        _deadline(case["deadline"]),
        f"{case['similarity']:g}",
        row["title"],
        f"{row['load']:.3g}",
        _mean(row["exact"]),
        _mean(row["enumeration"]),
        _mean(row["monte_carlo"]),
        # Draws meet the same random bits, so their errors may all lean one way.
        _standard_error(row),
        "–" if found is None else f"{found:.2f}",
    ]


def _deadline(deadline: float | None) -> str:
    return "–" if deadline is None else f"{deadline:g}"


def _title(num_workers: int, deadline: float | None, similarity: float) -> str:
    """Of a panel."""
    tau = "" if deadline is None else f"τ = {deadline:g}, "
    return f"k = {num_workers}, {tau}ρ = {similarity:g}"


def _standard_error(row: dict[str, Any]) -> str:
    mean = np.mean(row["standard_error"])
    return f"{mean:.1g}" if np.isfinite(mean) else "unknown"


def _mean(values: list[float] | None) -> str:
    return "–" if values is None else f"{np.mean(values):.5g}"


def draw_errors(rows: list[dict[str, Any]]) -> Figure:
    """Error against load: a row for each (k, ρ), a column for each deadline."""
    keys = [(row["case"]["num_workers"], row["case"]["similarity"]) for row in rows]
    panels = list(dict.fromkeys(keys))
    deadlines = list(dict.fromkeys(row["case"]["deadline"] for row in rows))
    titles = list(dict.fromkeys(row["title"] for row in rows))
    styles = {title: Style.of(number) for number, title in enumerate(titles)}
    figure, axes = page(len(panels), len(deadlines), num_entries=len(titles) + 1)
    for row in rows:
        case = row["case"]
        panel = panels.index((case["num_workers"], case["similarity"]))
        style = styles[row["title"]]
        bar = np.mean(row["standard_error"])
        axes[panel, deadlines.index(case["deadline"])].errorbar(
            row["load"],
            np.mean(row["monte_carlo"]),
            yerr=bar if np.isfinite(bar) else None,
            color=style.color,
            marker=style.marker,
            linestyle="none",
            fillstyle="none",
            label=row["title"],
        )
    for (panel, column), axis in np.ndenumerate(axes):
        num_workers, similarity = panels[panel]
        floors = [
            row["floor"]
            for row in rows
            if (row["case"]["num_workers"], row["case"]["similarity"]) == panels[panel]
            and row["case"]["deadline"] == deadlines[column]
        ]
        # No unbiased estimate is below it, whatever the code.
        if floors and min(floors) > 0:
            axis.axhline(
                min(floors), color="0.5", linestyle=":", label="P₀/(1 − P₀)", zorder=0
            )
        axis.set(
            xscale="log",
            yscale="log",
            xlabel="computation load d",
            ylabel="E‖g − ĝ‖² / ‖g‖²",
            title=_title(num_workers, deadlines[column], similarity),
        )
    legend_below(figure, axes)
    return figure
