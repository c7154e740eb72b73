"""Coded training for a user's own loss, model and data.

A `Job` says what a run is: a plan and its decoder, data in partitions (`arrays` or any
source, `partitioned`), and who straggles. A path, `simulated` or `spmd` here and
`jgc.distributed.ray`, says where its iterations take place; for the same masks they
give the same answer. The loss is a function of parameters and examples, or of
`partition_loss`.

    path = simulated(loss, optax.adam(1e-3))
    with path(Job(plan=plan, data=data, stragglers=model)) as run:
        state = run.init(key, params)
        for _ in range(1000):
            state, report = run.step(state)     # report.loss, report.answered, …
"""

from jgc.training._following import Following
from jgc.training._gradient import Pass, coded_gradient
from jgc.training._job import Job, Run, TrainingPath
from jgc.training._local_steps import local_steps
from jgc.training._loss import Loss, Outputs, partition_loss
from jgc.training._partitions import Batch, Partitions, partitioned
from jgc.training._placement import balance
from jgc.training._precision import compute_in
from jgc.training._reader import Reader, open_reader
from jgc.training._simulated import simulated
from jgc.training._sources import Arrays, DataSource, arrays
from jgc.training._spmd import place_state, spmd
from jgc.training._state import Report, TrainState

__all__ = [
    "Arrays",
    "Batch",
    "DataSource",
    "Following",
    "Job",
    "Loss",
    "Outputs",
    "Partitions",
    "Pass",
    "Reader",
    "Report",
    "Run",
    "TrainState",
    "TrainingPath",
    "arrays",
    "balance",
    "coded_gradient",
    "compute_in",
    "local_steps",
    "open_reader",
    "partition_loss",
    "partitioned",
    "place_state",
    "simulated",
    "spmd",
]
