"""Workers in processes of their own, on one machine or many (extra "distributed").

    with WorkerPool(plan.num_workers) as pool:          # or address="host:6379"
        driver = Driver(
            pool, loss, optax.sgd(0.1), plan,
            params=params, examples=examples, partition=partition,
            policy=fixed_deadline(0.5),                 # seconds
        )
        state = driver.init(params)
        for _ in range(1000):
            state, round = driver.advance(state)        # round.mask, round.loss, …

Real processes and a real deadline: late messages are dropped, workers that die or hang
are stragglers until another process has taken their place, messages with NaN or of a
wrong shape are not decoded. For the same masks the answer is that of
`jgc.training.make_step`.
"""

from jgc.distributed._adaptation import Adaptation
from jgc.distributed._driver import Driver, Round
from jgc.distributed._latency_log import LatencyLog
from jgc.distributed._policies import (
    Policy,
    Waiting,
    fixed_deadline,
    wait_for,
    wait_for_error,
)
from jgc.distributed._pool import WorkerPool

__all__ = [
    "Adaptation",
    "Driver",
    "LatencyLog",
    "Policy",
    "Round",
    "Waiting",
    "WorkerPool",
    "fixed_deadline",
    "wait_for",
    "wait_for_error",
]
