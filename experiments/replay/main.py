r"""Loss against virtual seconds: the advised option and its rivals, on a trace.

    python -m experiments.replay --config=configs/replay/trace.py \
        --config.trace=latencies.csv --workdir=runs/replay

Advises on the first half of the trace and replays all methods on the second, with the
steps and masks that a cluster with these latencies would see. Leaves `table.md`,
`replay.png` and a file a run (`runs/*.json`); a killed replay goes on with the first
run that is missing.
"""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common import launch
from experiments.replay import settings
from experiments.replay.report import write_report
from experiments.replay.runs import Replay, plan_runs
from jgc._files import write_atomically
from jgc.stragglers import load_trace, with_load
from jgc.training._loss import as_loss

_LOG = logging.getLogger(__name__)


def main() -> None:
    """The program."""
    launch.experiment(prepare, replay_all)


def prepare(config: Any, workdir: Path) -> Replay:
    """What all runs share.

    Raises:
        ValueError: a setting is not accepted, or the trace is malformed.
        OSError: the trace cannot be read.
        ImportError: it can with an extra.
    """
    settings.check(config)
    recorded = load_trace(config.trace, missing_is_late=config.missing_is_late)
    if config.split and recorded.num_rounds < 2:
        raise ValueError(
            f"{config.trace} has one round, which has no halves; accepted: two or "
            "more, or config.split = False"
        )
    if config.work_fraction >= 0:
        latencies = with_load(recorded, work_fraction=config.work_fraction)
    else:
        latencies = with_load(
            recorded, slope=config.slope, recorded_load=config.recorded_load
        )
    replay = Replay(config, latencies, workdir)
    if config.references and not as_loss(replay.task.loss).is_separable:
        raise ValueError(
            "config.references must be () for a loss that sees whole partitions"
        )
    return replay


def replay_all(replay: Replay, config: Any, workdir: Path) -> None:
    """Replays what the working directory lacks, and reports."""
    (workdir / "runs").mkdir(exist_ok=True)
    rows = []
    runs = list(plan_runs(replay, config))
    for number, (method, optimizer, entry) in enumerate(runs):
        path = workdir / "runs" / f"{number:03d}.json"
        if not path.exists():
            row = (
                replay.refer(method) if entry is None else replay.run(entry, optimizer)
            )
            row |= {"method": method, "optimizer": optimizer}
            write_atomically(path, json.dumps(row) + "\n")
            _LOG.info("%d/%d %s, %s", number + 1, len(runs), method, row["name"])
        rows.append(json.loads(path.read_text()))
    if config.least_loss == "seen":
        least = min(np.nanmin(np.array(row["losses"])) for row in rows)
    else:
        least = replay.least_loss()
    write_report(rows, float(least), config, workdir)
