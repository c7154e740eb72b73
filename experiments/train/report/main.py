"""Redraws the tables and curves of an experiment, from the runs that have finished.

python -m experiments.train.report --workdir=runs/shapes
"""

import logging
from pathlib import Path

from experiments.common import launch
from experiments.common.workdir import read_config
from experiments.train.report.tables import write_report
from experiments.train.runs import RESULT
from experiments.train.specs import list_runs, run_directory

_LOG = logging.getLogger(__name__)


def main() -> None:
    """The program."""
    launch.report(redraw)


def redraw(workdir: Path) -> None:
    """Redraws the report of a working directory.

    Raises:
        FileNotFoundError: it has no finished run.
    """
    runs = list_runs(read_config(workdir))
    finished = [run for run in runs if (run_directory(workdir, run) / RESULT).exists()]
    if not finished:
        raise FileNotFoundError(f"--workdir={workdir} has no finished run")
    if len(finished) < len(runs):
        _LOG.warning("%d of %d runs have finished", len(finished), len(runs))
    write_report(finished, workdir)
