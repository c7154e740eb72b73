"""Workers in processes of their own, on one machine or many (extra "distributed").

    with WorkerPool(plan.num_workers) as pool:          # or address="host:6379"
        path = ray(loss, optax.sgd(0.1), pool=pool, policy=fixed_deadline(0.5))
        with path(Job(plan=plan, data=data)) as run:
            state = run.init(key, params)
            for _ in range(1000):
                state, report = run.step(state)  # report.answered, report.details, …

Real processes and a real deadline: late messages are dropped, workers that die or hang
are stragglers until another process has taken their place, messages with NaN or of a
wrong shape are not decoded. For the same masks the answer is that of
`jgc.training.simulated`.
"""

from jgc.distributed import faults
from jgc.distributed._latency_log import LatencyLog
from jgc.distributed._path import ray
from jgc.distributed._policies import (
    Policy,
    Waiting,
    fixed_deadline,
    wait_by,
    wait_for,
    wait_for_error,
)
from jgc.distributed._pool import WorkerPool
from jgc.distributed._round import Details
from jgc.distributed._watching import Watch, WorkerView

__all__ = [
    "Details",
    "LatencyLog",
    "Policy",
    "Waiting",
    "Watch",
    "WorkerPool",
    "WorkerView",
    "faults",
    "fixed_deadline",
    "ray",
    "wait_by",
    "wait_for",
    "wait_for_error",
]
