"""How long an iteration takes in which a worker is lost, with and without a spare.

    python -m benchmarks.takeover

All workers are waited for, so that the iteration lasts until the lost one's message has
been computed by the process that takes its place.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import jgc
from benchmarks.machine import describe_machine
from jgc.distributed import WorkerPool, faults, ray, wait_for
from jgc.training import Job, arrays, partitioned

WORKERS, WIDTH, EVERY = 4, 256, 5
# For a spare that has stepped in there must be another before the next is lost.
PAUSE = 20.0


def loss(params: dict[str, Array], examples: Array) -> Float[Array, " N"]:
    """Of a network with one hidden layer that reproduces its input."""
    hidden = jnp.tanh(examples @ params["in"])
    return ((hidden @ params["out"] - examples) ** 2).mean(-1)


def lost_and_others(spares: int, losses: int) -> tuple[list[float], list[float]]:
    """Seconds of the iterations in which a worker is killed, and of the others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64 * WORKERS, WIDTH)).astype(np.float32)
    plan = jgc.codes.fractional_repetition(
        [0.1] * WORKERS, num_partitions=WORKERS, replication=2
    )
    data = partitioned(arrays(x), np.arange(len(x)) % WORKERS, num_partitions=WORKERS)
    params = {
        name: jnp.asarray(rng.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 16)
        for name in ("in", "out")
    }
    struck = {EVERY * (number + 1): number % WORKERS for number in range(losses)}
    kills = [faults.kill(worker=w, iteration=t) for t, w in struck.items()]
    seconds: tuple[list[float], list[float]] = [], []
    with WorkerPool(WORKERS, spares=spares) as pool:
        path = ray(
            loss, optax.sgd(0.1), pool=pool, policy=wait_for(WORKERS), faults=kills
        )
        with path(Job(plan=plan, data=data)) as run:
            state = run.init(jax.random.key(0), params)
            for t in range(EVERY * (losses + 1)):
                if t in struck:
                    time.sleep(PAUSE)
                state, report = run.step(state)
                if t > 1:  # what compiles
                    seconds[t not in struck].append(report.seconds)
    return seconds


def main() -> None:
    """Prints medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", type=int, default=5)
    options = parser.parse_args()
    print(describe_machine())
    for spares in (0, 1):
        lost, others = lost_and_others(spares, options.losses)
        usual = statistics.median(others)
        print(
            f"{spares} spares: {statistics.median(lost):.2g} s where a worker is lost "
            f"({min(lost):.2g} to {max(lost):.2g}), else {usual:.2g}"
        )


if __name__ == "__main__":
    main()
