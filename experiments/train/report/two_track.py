"""Optimizers of two tracks beside those of one, the paper's Figure 7: differences, Λ.

Both meet the same stragglers from the same parameters in each seed, so differences are
taken seed by seed.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.common.pictures import Style, legend_below, page
from experiments.common.tables import print_table, write_markdown, write_picture
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.report.groups import Group


class Pair(NamedTuple):
    """A scheme and deadline under an optimizer of two tracks and its single-track one.

    Attributes:
        two_track: the runs with a Λ.
        single_track: the runs without, from the same seeds.
    """

    two_track: Group
    single_track: Group

    @property
    def differences(self) -> Float[np.ndarray, " seeds"]:
        """Final training loss with two tracks less that with one, of each seed."""
        by_seed = [
            {result["run"]["seed"]: result["final_loss"] for result in group.results}
            for group in self
        ]
        common = by_seed[0].keys() & by_seed[1].keys()
        return np.array([by_seed[0][seed] - by_seed[1][seed] for seed in common])


def pair_up(groups: list[Group]) -> list[Pair]:
    """Every group of two tracks that has one of a single track to stand against."""
    pairs = []
    for group in groups:
        wanted = OPTIMIZERS[group.run.optimizer].single_track
        for other in groups:
            same = (other.run.scheme, other.run.deadline) == (
                group.run.scheme,
                group.run.deadline,
            )
            if same and other.run.optimizer == wanted:
                pairs.append(Pair(group, other))
    return [pair for pair in pairs if pair.differences.size]


def write_table(pairs: list[Pair], workdir: Path) -> None:
    """Prints the differences and writes `two_track.md`."""
    header = [
        "scheme",
        "deadline",
        "Λ",
        "one track",
        "two tracks",
        "difference ± standard error",
        "seeds lower",
    ]
    rows = [_row(pair) for pair in pairs]
    title = "Final training loss; differences seed by seed"
    print_table(header, rows, title=title, width=120)
    write_markdown(workdir / "two_track.md", header, rows)


def _row(pair: Pair) -> list[str]:
    run, differences = pair.two_track.run, pair.differences
    count = differences.size
    error = f" ± {differences.std(ddof=1) / count**0.5:.4f}" if count > 1 else ""
    return [
        pair.two_track.title,
        "–" if run.deadline is None else f"{run.deadline:g}",
        f"{run.noise_ratio:g}",
        f"{pair.single_track.mean('final_loss'):.4f}",
        f"{pair.two_track.mean('final_loss'):.4f}",
        f"{differences.mean():+.4f}{error}",
        f"{(differences < 0).sum()}/{count}",
    ]


def write_noise_ratios(pairs: list[Pair], workdir: Path) -> None:
    """Writes `noise_ratios.png`: final loss against Λ, a panel a deadline.

    Median and quartiles over seeds: a first step can be huge where the second track
    nearly vanishes, and one such seed would hide the others in a mean. Dashed: the
    optimizer of one track.
    """
    deadlines = list(dict.fromkeys(pair.two_track.run.deadline for pair in pairs))
    titles = list(dict.fromkeys(pair.two_track.title for pair in pairs))
    figure, grid = page(1, len(deadlines), num_entries=len(titles), sharey=True)
    axes = grid[0]
    for axis, deadline in zip(axes, deadlines, strict=True):
        for number, title in enumerate(titles):
            shown = [
                pair
                for pair in pairs
                if (pair.two_track.title, pair.two_track.run.deadline)
                == (title, deadline)
            ]
            if shown:
                _draw_scheme(axis, shown, Style.of(number))
        axis.set_xscale("log")
        axis.set_xlabel("Λ")
        if deadline is not None:
            axis.set_title(f"deadline τ = {deadline:g}")
    axes[0].set_ylabel("final training loss, median and quartiles over seeds")
    legend_below(figure, grid)
    write_picture(workdir / "noise_ratios.png", figure, dpi=150)


def _draw_scheme(axis: Any, pairs: list[Pair], style: Style) -> None:
    pairs = sorted(pairs, key=lambda pair: pair.two_track.run.noise_ratio or 0)
    low, middle, high = np.transpose([_quartiles(pair.two_track) for pair in pairs])
    axis.errorbar(
        [pair.two_track.run.noise_ratio for pair in pairs],
        middle,
        [middle - low, high - middle],
        color=style.color,
        marker=style.marker,
        capsize=3,
        label=pairs[0].two_track.title,
    )
    single_track = _quartiles(pairs[0].single_track)[1]
    axis.axhline(single_track, color=style.color, linestyle="--", linewidth=1)


def _quartiles(group: Group) -> Float[np.ndarray, "3"]:
    losses = [result["final_loss"] for result in group.results]
    return np.quantile(losses, [0.25, 0.5, 0.75])
