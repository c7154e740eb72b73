"""Tables of an experiment, and its pictures, from the files that its runs left."""

import csv
import io
from pathlib import Path

from experiments.common.tables import print_table, write_markdown, write_pages
from experiments.train.report import two_track as two_track_report
from experiments.train.report.curves import draw_curves
from experiments.train.report.findings import write_findings
from experiments.train.report.groups import Group, read_groups
from experiments.train.report.similarity import write_similarity
from experiments.train.report.tuned import write_tuned
from experiments.train.specs import RunSpec
from jgc._files import write_atomically

# Printed, in this order; the files have every other score as well.
_COLUMNS = {
    "final_loss": "training loss",
    "final_validation_loss": "validation loss",
    "ap": "mAP",
    "train_ap": "mAP, training images",
    "accuracy": "accuracy",
    "train_accuracy": "accuracy, training",
    "found": "found",
    "doubled": "doubled",
    "load": "load",
    "megabytes": "MB an iteration",
    "relative_error_aligned": "error, aligned",
    "relative_error_orthogonal": "error, orthogonal",
}
# Known before any training.
_DESIGNED = ("load", "megabytes", "relative_error_aligned", "relative_error_orthogonal")


def write_report(runs: list[RunSpec], workdir: Path) -> None:
    """Prints tables and findings and writes them, and pictures of the losses.

    `table.md` and `table.csv`, with every score of the runs; `findings.md`; of the
    training and the validation loss `convergence.png` and `validation.png`, or
    `convergence-1.png` and so on where panels do not fit one page; where ρ was
    followed, `similarity.png`; where there are optimizers of one and of two tracks,
    `two_track.md`, and `noise_ratios.png` if there are several Λ. They are of the
    first learning rate; of several, `tuned.md` and `tuned.png` have each scheme's best.
    """
    of_all_rates = read_groups(runs, workdir)
    groups = [group for group in of_all_rates if group.run.rate_factor == 1]
    if len(groups) < len(of_all_rates):
        write_tuned(of_all_rates, workdir)
    scores = _scores(groups)
    known = [name for name in _COLUMNS if name in scores]
    others = [name for name in scores if name not in _COLUMNS]
    title = "Mean over seeds ± standard deviation"
    print_table(*_table(groups, known), title=title, width=120)
    write_markdown(workdir / "table.md", *_table(groups, known + others))
    write_atomically(workdir / "table.csv", _csv(groups))
    training = draw_curves(groups, lambda group: group.training, name="training loss")
    write_pages(workdir / "convergence.png", training, dpi=150)
    validation = draw_curves(
        groups, lambda group: group.validation, name="validation loss"
    )
    write_pages(workdir / "validation.png", validation, dpi=150)
    followed = [group for group in groups if group.similarity is not None]
    if followed:
        write_similarity(followed, workdir)
    pairs = two_track_report.pair_up(groups)
    if pairs:
        two_track_report.write_table(pairs, workdir)
    if len({group.run.noise_ratio for group, _ in pairs}) > 1:
        two_track_report.write_noise_ratios(pairs, workdir)
    write_findings(groups, workdir)


def _scores(groups: list[Group]) -> list[str]:
    """The names of all numbers that some run left."""
    return list(
        dict.fromkeys(
            name
            for group in groups
            for result in group.results
            for name, value in result.items()
            if isinstance(value, int | float)
        )
    )


def _table(
    groups: list[Group], columns: list[str]
) -> tuple[list[str], list[list[str]]]:
    """The header and a row a group."""
    several = len({group.run.optimizer for group in groups}) > 1
    header = ["scheme", "deadline", *(["optimizer"] if several else [])]
    header += [_COLUMNS.get(name, name.replace("_", " ")) for name in columns]
    rows = [
        [
            group.title,
            _deadline(group),
            *([group.run.optimizer_title] if several else []),
            *(_cell(group, name) for name in columns),
        ]
        for group in groups
    ]
    return header, rows


def _cell(group: Group, column: str) -> str:
    if any(column not in result for result in group.results):
        return "–"
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
    fields = list(dict.fromkeys(name for result in results for name in result))
    fields.remove("run")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*results[0]["run"], *fields])
    for result in results:
        writer.writerow(
            [*result["run"].values(), *(result.get(name) for name in fields)]
        )
    return text.getvalue()
