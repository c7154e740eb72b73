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


class Group(NamedTuple):
    """The runs that differ in their seeds alone.

    Attributes:
        title: the scheme's name in print.
        run: the first of them.
        results: `result.json` of each seed.
        loss: the training loss of each seed and iteration.
        similarity: ρ of each seed and iteration; None where it was not followed.
    """

    title: str
    run: RunSpec
    results: list[dict[str, Any]]
    loss: Float[np.ndarray, "seeds iterations"]
    similarity: Float[np.ndarray, "seeds iterations"] | None

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
        metrics = [read_json_lines(folder / METRICS) for folder in folders]
        loss = np.array([[row["loss"] for row in rows] for rows in metrics])
        is_followed = "similarity" in metrics[0][0]
        rho = [[row.get("similarity") for row in rows] for rows in metrics]
        groups.append(
            Group(
                results[0]["title"],
                members[0],
                results,
                loss,
                np.array(rho) if is_followed else None,
            )
        )
    return groups
