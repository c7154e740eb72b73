"""What runs left in their folders, grouped over seeds."""

import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.train.runs import METRICS, RESULT
from experiments.train.specs import RunSpec, run_directory
from jgc._files import read_json_lines

_VALIDATION = "validation_loss"
_MOST_POINTS = 100  # of a curve of training losses


class Curve(NamedTuple):
    """Losses of each seed after some iterations."""

    iterations: Float[np.ndarray, " times"]
    values: Float[np.ndarray, "seeds times"]


class Group(NamedTuple):
    """The runs that differ in their seeds alone.

    Attributes:
        title: the scheme's name in print.
        run: the first of them.
        results: `result.json` of each seed.
        loss: the training loss of each seed and iteration.
        validation: the validation losses that were taken.
        similarity: ρ of each seed and iteration; None where it was not followed.
    """

    title: str
    run: RunSpec
    results: list[dict[str, Any]]
    loss: Float[np.ndarray, "seeds iterations"]
    validation: Curve
    similarity: Float[np.ndarray, "seeds iterations"] | None

    @property
    def training(self) -> Curve:
        """The training loss: means of so many iterations that mini-batches can be read.

        An iteration's loss is that of the parameters before it, and NaN where nobody
        answered who would know it.
        """
        seeds, count = self.loss.shape
        width = -(-count // _MOST_POINTS)
        windows = count // width
        kept = self.loss[:, count - windows * width :].reshape(seeds, windows, width)
        first = count - windows * width + np.arange(windows) * width
        means = np.ma.masked_invalid(kept).mean(-1).filled(np.nan)
        return Curve(first + (width - 1) / 2, means)

    def has(self, column: str) -> bool:
        """Whether its results have such a number; '' is of every one."""
        return not column or column in self.results[0]

    def mean(self, column: str) -> float:
        """Mean over seeds of a number in the results."""
        return float(np.mean([result[column] for result in self.results]))

    def spread(self, column: str) -> float:
        """Standard deviation over seeds."""
        return float(np.std([result[column] for result in self.results]))


def read_groups(runs: list[RunSpec], workdir: Path) -> list[Group]:
    """What finished runs left, grouped over seeds in the order of the config."""
    by_group: dict[RunSpec, list[RunSpec]] = defaultdict(list)
    for run in runs:
        by_group[replace(run, seed=0)].append(run)
    groups = []
    for members in by_group.values():
        folders = [run_directory(workdir, run) for run in members]
        results = [json.loads((folder / RESULT).read_text()) for folder in folders]
        rows = [read_json_lines(folder / METRICS) for folder in folders]
        loss = np.array([[row["loss"] for row in own] for own in rows])
        is_followed = "similarity" in rows[0][0]
        rho = [[row.get("similarity") for row in own] for own in rows]
        groups.append(
            Group(
                results[0]["title"],
                members[0],
                results,
                loss,
                _validation(rows),
                np.array(rho) if is_followed else None,
            )
        )
    return groups


def _validation(rows: list[list[dict[str, Any]]]) -> Curve:
    """Of each seed's metrics."""
    taken = [[row for row in own if _VALIDATION in row] for own in rows]
    return Curve(
        np.array([float(row["iteration"]) for row in taken[0]]),
        np.array([[row[_VALIDATION] for row in own] for own in taken]),
    )
