"""The tables and pictures of `experiments.decoding`, from its rows."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.common.pictures import Style, legend_below, page
from experiments.common.tables import write_markdown, write_picture
from experiments.decoding.methods import CODES, DECODERS
from jgc._files import write_atomically

Rows = list[dict[str, Any]]


def write_errors(rows: Rows, workdir: Path) -> None:
    """`errors.json`, `.csv`, `.md`, `.png`."""
    keys = (
        *("law", "nominal_load", "load", "code", "decoder", "similarity", "error"),
        *("floor", "left_out"),
    )
    _write_table(rows, keys, workdir / "errors")
    shown = [row for row in rows if not row["left_out"]]
    write_picture(workdir / "errors.png", draw_errors(shown), dpi=120)


def write_training(rows: Rows, workdir: Path) -> None:
    """`training.json`, `.csv`, `.md`, `.png`."""
    keys = (
        *("problem", "diversity", "law", "real_load", "code", "decoder"),
        *("step_size", "at_edge", "gap", "standard_error"),
    )
    _write_table(rows, keys, workdir / "training")
    write_picture(workdir / "training.png", draw_training(rows), dpi=120)


def draw_errors(rows: Rows) -> Figure:
    """Error against load, a row of panels a law and a column a ρ; the floor dotted."""
    laws = _values(rows, "law")
    rhos = _values(rows, "similarity")
    loads = sorted({round(row["load"]) for row in rows})
    figure, axes = page(
        len(laws), len(rhos), num_entries=len(CODES) + len(DECODERS) + 1
    )
    colors = {code: Style.of(number).color for number, code in enumerate(CODES)}
    markers = {name: Style.of(number).marker for number, name in enumerate(DECODERS)}
    for row in rows:
        panel = laws.index(row["law"]), rhos.index(row["similarity"])
        axes[panel].plot(
            row["load"],
            row["error"],
            color=colors[row["code"]],
            marker=markers[row["decoder"]],
            fillstyle="none",
            linestyle="none",
        )
        axes[panel].axhline(row["floor"], color="0.5", linestyle=":", zorder=0)
        axes[panel].set(
            xscale="log",
            yscale="log",
            xlabel="load",
            title=f"{row['law']}, ρ = {row['similarity']:g}",
        )
        axes[panel].set_xticks(loads, loads)
        axes[panel].xaxis.set_minor_locator(NullLocator())
    for code, color in colors.items():
        axes[0, 0].plot([], [], color=color, label=CODES[code].title)
    for name, marker in markers.items():
        label = name.replace("_", " ")
        axes[0, 0].plot([], [], marker, color="0.3", fillstyle="none", label=label)
    axes[0, 0].plot([], [], ":", color="0.5", label="P₀/(1 − P₀)")
    legend_below(figure, axes)
    return figure


def draw_training(rows: Rows) -> Figure:
    """The final gap of each decoder: a row of panels a law, a column a problem."""
    laws = _values(rows, "law")
    problems = list(dict.fromkeys((row["problem"], row["diversity"]) for row in rows))
    groups = list(dict.fromkeys((row["load"], row["code"]) for row in rows))
    figure, axes = page(len(laws), len(problems), num_entries=len(groups), sharey="col")
    names = _values(rows, "decoder")
    for row in rows:
        column = problems.index((row["problem"], row["diversity"]))
        number = groups.index((row["load"], row["code"]))
        style = Style.of(number)
        axis = axes[laws.index(row["law"]), column]
        axis.errorbar(
            names.index(row["decoder"]) + 0.15 * (number - len(groups) / 2),
            row["gap"],
            yerr=row["standard_error"],
            color=style.color,
            marker=style.marker,
            linestyle="none",
            label=f"{CODES[row['code']].title}, load {row['load']}",
        )
        axis.set(
            yscale="log", title=f"{row['problem']}, {row['diversity']:g}\n{row['law']}"
        )
        labels = [name.replace("_", " ") for name in names]
        axis.set_xticks(
            range(len(names)), labels, rotation=40, ha="right", fontsize="small"
        )
    for axis in axes[:, 0]:
        axis.set_ylabel("final loss − least loss")
    legend_below(figure, axes)
    return figure


def _values(rows: Rows, key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def _write_table(rows: Rows, keys: tuple[str, ...], path: Path) -> None:
    write_atomically(path.with_suffix(".json"), json.dumps(rows) + "\n")
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(keys)
    lines.writerows([row[key] for key in keys] for row in rows)
    write_atomically(path.with_suffix(".csv"), text.getvalue())
    cells = [[_cell(row[key]) for key in keys] for row in rows]
    write_markdown(path.with_suffix(".md"), keys, cells)


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
