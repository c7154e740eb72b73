"""Tables and pictures of an experiment, drawn from the files that its runs left.

    python -m experiments.report --workdir=runs/shapes

redraws the table and the curves without a run.
"""

import csv
import io
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments import launch
from experiments.runs import METRICS, RESULT, Run, list_runs, run_directory
from experiments.workdir import read_config
from jgc.training.files import read_json_lines, write_atomically

_COLUMNS = {
    "final_loss": "training loss",
    "final_validation_loss": "validation loss",
    "ap": "mAP",
    "train_ap": "mAP, training images",
    "load": "load",
    "relative_error_aligned": "error, aligned",
    "relative_error_orthogonal": "error, orthogonal",
}
# Known before any training.
_DESIGNED = ("load", "relative_error_aligned", "relative_error_orthogonal")


class Group(NamedTuple):
    """The runs of one scheme against one deadline, over all seeds.

    Attributes:
        code: the scheme's name in print.
        deadline: τ_th, None if it waits for every worker or is a plan file's.
        results: `result.json` of each seed.
        loss: the training loss of each seed and iteration.
    """

    code: str
    deadline: float | None
    results: list[dict[str, Any]]
    loss: Float[np.ndarray, "seeds iterations"]

    def mean(self, column: str) -> float:
        """Mean over seeds of a number in the results."""
        return float(np.mean([result[column] for result in self.results]))

    def spread(self, column: str) -> float:
        """Standard deviation over seeds."""
        return float(np.std([result[column] for result in self.results]))


def read_groups(runs: list[Run], workdir: Path) -> list[Group]:
    """What finished runs left, grouped over seeds in the order of the config."""
    by_group: dict[tuple[str, float | None], list[Run]] = defaultdict(list)
    for run in runs:
        by_group[run.scheme, run.deadline].append(run)
    groups = []
    for (_, deadline), members in by_group.items():
        folders = [run_directory(workdir, run) for run in members]
        results = [json.loads((folder / RESULT).read_text()) for folder in folders]
        loss = [[row["loss"] for row in read_json_lines(f / METRICS)] for f in folders]
        groups.append(Group(results[0]["code"], deadline, results, np.array(loss)))
    return groups


def write_report(runs: list[Run], workdir: Path) -> None:
    """Prints the table; writes `table.md`, `table.csv` and `convergence.png`."""
    groups = read_groups(runs, workdir)
    rows = [_row(group) for group in groups]
    header = ["scheme", "deadline", *_COLUMNS.values()]

    table = Table(*header, title="Mean over seeds ± standard deviation")
    for row in rows:
        table.add_row(*row)
    Console(width=max(Console().width, 120)).print(table)
    lines = [header, ["---"] * len(header), *rows]
    markdown = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_atomically(workdir / "table.md", markdown)
    write_atomically(workdir / "table.csv", _csv(groups))

    picture = io.BytesIO()
    draw_convergence(groups).savefig(picture, dpi=150)
    write_atomically(workdir / "convergence.png", picture.getvalue())


def _row(group: Group) -> list[str]:
    return [group.code, _deadline(group), *(_cell(group, name) for name in _COLUMNS)]


def _cell(group: Group, column: str) -> str:
    if column in _DESIGNED:
        return f"{group.mean(column):.3g}"
    spread = f" ± {group.spread(column):.3f}" if len(group.results) > 1 else ""
    return f"{group.mean(column):.3f}{spread}"


def _deadline(group: Group) -> str:
    return "–" if group.deadline is None else f"{group.deadline:g}"


def _csv(groups: list[Group]) -> str:
    """Every run's numbers, one run a line."""
    text = io.StringIO()
    results = [result for group in groups for result in group.results]
    fields = [name for name in results[0] if name != "run"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scheme", "deadline", "seed", *fields])
    for result in results:
        writer.writerow([*result["run"].values(), *(result[name] for name in fields)])
    return text.getvalue()


def draw_convergence(groups: list[Group]) -> Figure:
    """Loss against iteration and against computation load, a column a deadline."""
    deadlines = {group.deadline for group in groups if group.deadline is not None}
    columns: list[float | None] = [*sorted(deadlines)] or [None]
    figure = Figure(figsize=(5.5 * len(columns), 8), layout="constrained")
    axes = figure.subplots(2, len(columns), squeeze=False, sharey=True)
    for column, deadline in enumerate(columns):
        shown = [group for group in groups if group.deadline in (None, deadline)]
        for style, group in enumerate(shown):
            for row, load in enumerate((1.0, group.mean("load"))):
                _draw_loss(axes[row, column], group, load, style)
        if deadline is not None:
            axes[0, column].set_title(f"deadline τ = {deadline:g}")
        axes[0, column].set_xlabel("iteration")
        axes[1, column].set_xlabel(
            "gradients computed per partition (iteration × load)"
        )
        axes[0, column].legend()
    for row in axes:
        row[0].set_ylabel("training loss, mean and spread over seeds")
    return figure


def _draw_loss(axis: Any, group: Group, load: float, style: int) -> None:
    work = load * np.arange(group.loss.shape[1])
    mean, spread = group.loss.mean(0), group.loss.std(0)
    # Four solid lines, then four dashed ones: curves that coincide stay visible.
    color, line = f"C{style % 10}", ("-", "--", "-.", ":")[style // 4 % 4]
    axis.plot(work, mean, color=color, linestyle=line, label=group.code)
    axis.fill_between(work, mean - spread, mean + spread, color=color, alpha=0.15)


def main() -> None:
    """Redraws the report of a working directory."""
    workdir = Path(flags.FLAGS.workdir)
    try:
        config = read_config(workdir)
    except OSError as error:
        raise launch.InputError(error) from error
    write_report(list_runs(config), workdir)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "of a finished experiment", required=True)
    launch.run(main)
