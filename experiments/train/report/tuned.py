"""Every scheme at its own best learning rate, of those that were tried."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.common.tables import print_table, write_markdown, write_pages
from experiments.train.report.curves import draw_curves
from experiments.train.report.groups import Group
from experiments.train.specs import RunSpec


def best_rates(groups: list[Group]) -> list[tuple[Group, list[float]]]:
    """Of groups that differ in the rate alone the best, and all their factors.

    The best has the least training loss, the mean over seeds and the last tenth of the
    iterations, and diverged for no seed; the validation loss is not looked at.
    """
    by_scheme: dict[RunSpec, list[Group]] = defaultdict(list)
    for group in groups:
        by_scheme[replace(group.run, rate_factor=1.0)].append(group)
    return [
        (
            min(tried, key=_last_loss),
            sorted(group.run.rate_factor for group in tried),
        )
        for tried in by_scheme.values()
    ]


def _last_loss(group: Group) -> float:
    last = group.loss[:, -max(1, group.loss.shape[1] // 10) :]
    # Where nobody answered there is no loss; a run that diverged has none at its end.
    if not np.isfinite(group.validation.values[:, -1]).all():
        return np.inf
    return float(np.nanmean(last))


def write_tuned(groups: list[Group], workdir: Path) -> None:
    """Prints and writes `tuned.md`, and `tuned.png` of the validation losses."""
    best = best_rates(groups)
    header = [
        "scheme",
        "deadline",
        "optimizer",
        "rate ×",
        "training loss",
        "validation loss",
    ]
    rows = [
        [
            group.title,
            "–" if group.run.deadline is None else f"{group.run.deadline:g}",
            group.run.optimizer_title,
            _factor(group.run.rate_factor, tried),
            *(
                f"{group.mean(name):.3f} ± {group.spread(name):.3f}"
                for name in ("final_loss", "final_validation_loss")
            ),
        ]
        for group, tried in best
    ]
    print_table(header, rows, title="Each scheme at its best rate", width=120)
    write_markdown(workdir / "tuned.md", header, rows)
    curves = draw_curves(
        [group for group, _ in best],
        lambda group: group.validation,
        name="validation loss at the best rate",
    )
    write_pages(workdir / "tuned.png", curves, dpi=150)


def _factor(best: float, tried: list[float]) -> str:
    """With a mark where a rate off the grid might be better."""
    at_edge = best in (tried[0], tried[-1])
    return f"{best:g}" + (" (end of the grid)" if at_edge else "")
