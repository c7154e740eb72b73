"""What the Ray driver adds to an iteration, against moving the bytes that must move.

    python -m benchmarks.ray_overhead --workers 8
    python -m benchmarks.ray_overhead --workers 32
    python -m benchmarks.ray_overhead --workers 8 --codec int8

Workers whose gradient costs next to nothing send messages of the size of a model; an
iteration is then the driver's and Ray's own time. It must put the parameters in the
object store once, bring k messages there, and read each once. Beside it, in turns in
the same process: `ray.put` and `ray.get` of the same bytes by the driver alone (1 + k
vectors); the same traffic of actors that do nothing, which get the parameters and
return a vector each: what Ray itself takes; a plain copy of the bytes in memory; and
one worker's own work without Ray, of which an iteration contains k over the cores.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import ray

import jgc
from benchmarks.machine import describe_machine
from benchmarks.timing import seconds
from jgc import codecs, distributed
from jgc.distributed import WorkerPool, wait_for
from jgc.distributed._worker import Question, Work, Worker
from jgc.training import Job, arrays, partitioned
from jgc.training._loss import as_loss

# Iterations that do not count: compilation, and until every process has mapped every
# place of the object store that messages lie in.
WARM_UP = 60
LEAVES = 50  # of the parameters, as a model has them
CODECS = ("full", "bfloat16", "int8", "one_bit", "sign")


def loss(params: list[jax.Array], examples: jax.Array) -> jax.Array:
    """As cheap as a loss of all parameters can be."""
    return examples * sum(leaf.sum() for leaf in params)


class Bare:
    """A process that answers at once."""

    def __init__(self, size: int) -> None:
        """`size` of its vector."""
        self._vector = np.ones(size, np.float32)

    def answer(self, params: list[np.ndarray]) -> tuple[int, np.ndarray]:
        """A header and a message."""
        return len(params), self._vector


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--parameters", type=int, default=5_400_000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--codec", choices=CODECS, default="full")
    options = parser.parse_args()
    k, codec = options.workers, getattr(codecs, options.codec)()

    params = [jnp.zeros(options.parameters // LEAVES) for _ in range(LEAVES)]
    vector = np.zeros(options.parameters // LEAVES * LEAVES, np.float32)
    plan = jgc.codes.uncoded(np.full(k, 0.1), num_partitions=k)
    source = arrays(np.ones(k, np.float32))
    data = partitioned(source, np.arange(k), num_partitions=k)
    key = jax.random.key(0)

    def store() -> None:
        references = [ray.put(vector) for _ in range(k + 1)]
        for reference in references:
            ray.get(reference)

    def bare() -> None:
        question = ray.put(jax.device_get(params))
        calls = [a.answer.options(num_returns=2).remote(question) for a in actors]
        ray.wait([header for header, _ in calls], num_returns=k)
        ray.get([message for _, message in calls])

    def copy() -> None:
        for _ in range(k + 1):
            vector.copy()

    alone = Worker()
    shapes = jax.eval_shape(lambda: params)
    words = np.asarray(jax.random.key_data(key))
    alone.prepare(Work(loss=as_loss(loss), params=shapes, codec=codec))
    alone.take(None, data.select([0]), words, rows={0: np.zeros(1, np.int64)})
    alone.compile()
    ones = np.ones(1, np.float32)

    def work() -> None:
        question = Question(jax.device_get(params), (), words, 0, np.full(k, -1))
        alone.work(1, question, ones, 0)

    waits: list[float] = []
    names = ("iteration", "bare", "store", "copy", "worker")
    times: dict[str, list[float]] = {name: [] for name in names}
    start = time.perf_counter()
    with WorkerPool(k) as pool:
        path = distributed.ray(
            loss, optax.sgd(0.1), pool=pool, policy=wait_for(k), codec=codec
        )
        with path(Job(plan=plan, data=data)) as run:
            state = run.init(key, params)
            actors = [
                ray.remote(Bare).options(num_cpus=0).remote(vector.size)
                for _ in range(k)
            ]
            start_up = time.perf_counter() - start
            for repeat in range(WARM_UP + options.repeats):
                began = time.perf_counter()
                state, report = run.step(state)
                row = {"iteration": time.perf_counter() - began}
                row |= {"bare": seconds(bare), "store": seconds(store)}
                row |= {"copy": seconds(copy), "worker": seconds(work)}
                if repeat >= WARM_UP:
                    waits.append(report.details.waited)
                    for name, value in row.items():
                        times[name].append(value)

    median = {name: statistics.median(values) for name, values in times.items()}
    waited = statistics.median(waits)
    print(describe_machine())
    print(
        f"{k} workers, {vector.size:,} parameters, {codec.name}, "
        f"{(k + 1) * vector.nbytes / 1e6:.0f} MB an iteration; start {start_up:.1f} s"
    )
    print(f"  iteration: {1e3 * median['iteration']:.0f} ms, of which")
    print(f"    until all messages are there: {1e3 * waited:.0f} ms")
    print(f"    decode and update: {1e3 * (median['iteration'] - waited):.0f} ms")
    print(f"  one worker's own work: {1e3 * median['worker']:.1f} ms")
    print(f"  actors that do nothing: {1e3 * median['bare']:.0f} ms")
    print(f"  put and get of the same bytes: {1e3 * median['store']:.0f} ms")
    print(f"  copy of the same bytes: {1e3 * median['copy']:.0f} ms")
    for name, other in (
        ("actors that do nothing", "bare"),
        ("put and get", "store"),
        ("copy", "copy"),
    ):
        print(f"  iteration / {name}: {median['iteration'] / median[other]:.2f}")


if __name__ == "__main__":
    main()
