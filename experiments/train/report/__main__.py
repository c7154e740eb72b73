"""Tables and pictures of an experiment, drawn from the files that its runs left.

    python -m experiments.train.report --workdir=runs/shapes

redraws the tables and the curves without a run, from the runs that have finished.
"""

import csv
import io
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from matplotlib.figure import Figure

from experiments.common import launch
from experiments.common.tables import print_table, write_markdown, write_picture
from experiments.common.workdir import read_config
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.report import two_track as two_track_report
from experiments.train.report.groups import Group, read_groups
from experiments.train.runs import RESULT, Run, list_runs, run_directory
from jgc._files import write_atomically

_LOG = logging.getLogger("experiments.train.report")  # __name__ is __main__ here
_COLUMNS = {
    "final_loss": "training loss",
    "final_validation_loss": "validation loss",
    "ap": "mAP",
    "train_ap": "mAP, training images",
    "accuracy": "accuracy",
    "train_accuracy": "accuracy, training",
    "load": "load",
    "relative_error_aligned": "error, aligned",
    "relative_error_orthogonal": "error, orthogonal",
}
# Known before any training.
_DESIGNED = ("load", "relative_error_aligned", "relative_error_orthogonal")


def write_report(runs: list[Run], workdir: Path) -> None:
    """Prints the tables and writes them, and pictures of the losses.

    `table.md`, `table.csv` and `convergence.png`; where there are optimizers of one and
    of two tracks, `two_track.md`, and `noise_ratios.png` if there are several Λ.
    """
    groups = read_groups(runs, workdir)
    several = len({group.run.optimizer for group in groups}) > 1
    columns = [name for name in _COLUMNS if name in groups[0].results[0]]
    rows = [
        [
            group.code,
            _deadline(group),
            *([group.run.optimizer_title] if several else []),
            *(_cell(group, name) for name in columns),
        ]
        for group in groups
    ]
    header = ["scheme", "deadline", *(["optimizer"] if several else [])]
    header += [_COLUMNS[name] for name in columns]
    title = "Mean over seeds ± standard deviation"
    print_table(header, rows, title=title, width=120)
    write_markdown(workdir / "table.md", header, rows)
    write_atomically(workdir / "table.csv", _csv(groups))
    write_picture(workdir / "convergence.png", draw_convergence(groups), dpi=150)
    pairs = two_track_report.pair_up(groups)
    if pairs:
        two_track_report.write_table(pairs, workdir)
    if len({group.run.noise_ratio for group, _ in pairs}) > 1:
        two_track_report.write_noise_ratios(pairs, workdir)


def _cell(group: Group, column: str) -> str:
    if column in _DESIGNED:
        return f"{group.mean(column):.3g}"
    spread = f" ± {group.spread(column):.3f}" if len(group.results) > 1 else ""
    return f"{group.mean(column):.3f}{spread}"


def _deadline(group: Group) -> str:
    return "–" if group.run.deadline is None else f"{group.run.deadline:g}"


def _csv(groups: list[Group]) -> str:
    """Every run's numbers, one run a line."""
    text = io.StringIO()
    results = [result for group in groups for result in group.results]
    fields = [name for name in results[0] if name != "run"]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*results[0]["run"], *fields])
    for result in results:
        writer.writerow([*result["run"].values(), *(result[name] for name in fields)])
    return text.getvalue()


class _Panel(NamedTuple):
    """A deadline, and an optimizer with its Λ."""

    deadline: float | None
    optimizer: str
    noise_ratio: float | None

    def shows(self, run: Run) -> bool:
        if run.deadline is None and run.noise_ratio is None:
            # Where all are waited for, an optimizer of two tracks is that of one.
            single_track = OPTIMIZERS[self.optimizer].single_track
            return run.optimizer in (self.optimizer, single_track)
        return self == (run.deadline, run.optimizer, run.noise_ratio)


def draw_convergence(groups: list[Group]) -> Figure:
    """Loss against iteration and against computation load.

    A column a deadline and optimizer; those of one deadline side by side.
    """
    panels = _panels([group.run for group in groups])
    figure = Figure(figsize=(5.5 * len(panels), 8), layout="constrained")
    axes = figure.subplots(2, len(panels), squeeze=False, sharey=True)
    codes = list(dict.fromkeys(group.code for group in groups))
    several = len({panel.optimizer for panel in panels}) > 1
    for column, panel in enumerate(panels):
        shown = [group for group in groups if panel.shows(group.run)]
        for group in shown:
            for row, load in enumerate((1.0, group.mean("load"))):
                _draw_loss(axes[row, column], group, load, codes.index(group.code))
        title = [] if panel.deadline is None else [f"deadline τ = {panel.deadline:g}"]
        if several:
            title.append(shown[-1].run.optimizer_title)
        axes[0, column].set_title(", ".join(title))
        axes[0, column].set_xlabel("iteration")
        axes[1, column].set_xlabel(
            "gradients computed per partition (iteration × load)"
        )
        axes[0, column].legend()
    for row in axes:
        row[0].set_ylabel("training loss, mean and spread over seeds")
    return figure


def _panels(runs: list[Run]) -> list[_Panel]:
    """Those of the runs, without what only waits for everybody if anything else is."""
    panels = [_Panel(run.deadline, run.optimizer, run.noise_ratio) for run in runs]
    with_deadline = [panel for panel in panels if panel.deadline is not None]
    distinct = dict.fromkeys(with_deadline or panels)
    return sorted(distinct, key=lambda panel: panel.deadline or 0)


def _draw_loss(axis: Any, group: Group, load: float, style: int) -> None:
    work = load * np.arange(group.loss.shape[1])
    mean, spread = group.loss.mean(0), group.loss.std(0)
    # Four solid lines, then four dashed ones: curves that coincide stay visible.
    color, line = f"C{style % 10}", ("-", "--", "-.", ":")[style // 4 % 4]
    axis.plot(work, mean, color=color, linestyle=line, label=group.code)
    axis.fill_between(work, mean - spread, mean + spread, color=color, alpha=0.15)


def main() -> None:
    """Redraws the report of a working directory, from the runs that have finished."""
    workdir = Path(flags.FLAGS.workdir)
    try:
        config = read_config(workdir)
        runs = list_runs(config)
        finished = [r for r in runs if (run_directory(workdir, r) / RESULT).exists()]
        if not finished:
            raise FileNotFoundError(f"--workdir={workdir} has no finished run")
    except OSError as error:
        raise launch.InputError(error) from error
    if len(finished) < len(runs):
        _LOG.warning("%d of %d runs have finished", len(finished), len(runs))
    write_report(finished, workdir)


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "of a finished experiment", required=True)
    launch.run(main)
