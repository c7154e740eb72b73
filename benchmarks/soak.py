"""Many iterations on processes with everything that goes wrong, at random.

    python -m benchmarks.soak --iterations 1000 --seed 0

Workers are killed, hang, are late, fail and send what is no message, by
`jgc.distributed.faults`; at every fifth of the run some leave for good and others join
(`jgc.design.replan`, `WorkerPool.resize`). Afterwards:

- lost iterations: those that nobody answered, and those that are missing or doubled:
  the run must end where `simulated` ends with the masks that it reported;
- memory of the driver and of the largest worker, at a tenth of the run and at its end,
  and the driver's when each plan ends: what is theirs alone, without pages of Ray's
  object store and of libraries, which they share;
- the final loss, over all examples, beside that of runs without faults, which differ in
  their mini-batches.
"""

import argparse
import os
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

import jgc
from benchmarks.machine import describe_machine
from jgc.decoders import best_unbiased
from jgc.design import replan
from jgc.distributed import WorkerPool, faults, ray, wait_for
from jgc.training import Job, TrainState, arrays, partitioned, simulated

SEGMENTS, WORKERS, PARTITIONS, WIDTH = 5, 6, 12, 50_000
P = 0.1  # as the code believes
# Of an iteration that somebody is struck.
RATES = {"kill": 0.01, "hang": 0.004, "corrupt": 0.03, "delay": 0.03, "fail": 0.01}
CORRUPTIONS = ("nan", "shape", "dtype", "garbage")

CODE = partial(
    jgc.codes.fractional_repetition, num_partitions=PARTITIONS, replication=2
)


def loss(params: Float[Array, " d"], examples: dict[str, Array]) -> Float[Array, " N"]:
    """Least squares in a few directions; the others make messages large."""
    shown = params[: examples["x"].shape[1]]
    return (examples["x"] @ shown - examples["y"]) ** 2 / 2 + 1e-4 * (params**2).sum()


def problem() -> dict[str, np.ndarray]:
    """Examples with noise, so that mini-batches disagree to the end."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 10)).astype(np.float32)
    y = x @ rng.normal(size=10) + 0.5 * rng.normal(size=600)
    return {"x": x, "y": y.astype(np.float32)}


class Segment(NamedTuple):
    """Iterations of one plan.

    Attributes:
        was: who its workers were before; None in the first.
        job: of the plan.
        iterations: their numbers.
    """

    was: list[int] | None
    job: Job
    iterations: range


def segments(iterations: int, rng: np.random.Generator) -> list[Segment]:
    """Who leaves and who joins, and the plans that come of it."""
    examples = problem()
    assignment = np.arange(len(examples["y"])) % PARTITIONS
    data = partitioned(
        arrays(examples), assignment, num_partitions=PARTITIONS, batch_size=10
    )
    bounds = np.linspace(0, iterations, SEGMENTS + 1).astype(int)
    plan, found = CODE(np.full(WORKERS, P)), []
    for number in range(SEGMENTS):
        was = None
        if number:
            stay = rng.permutation(plan.num_workers)[: -rng.integers(1, 3)].tolist()
            joined = int(rng.integers(1, 4)) if len(stay) < WORKERS else 0
            was = [*stay, *[-1] * joined]
            plan = replan(plan, CODE, np.full(len(was), P), was=was).plan
        job = Job(plan=plan, data=data, decoder=best_unbiased(plan, gradients=0.5))
        found.append(Segment(was, job, range(*bounds[number : number + 2].tolist())))
    return found


def draw_faults(segment: Segment, rng: np.random.Generator) -> list[faults.Fault]:
    """What befalls its workers."""
    k, found = segment.job.plan.num_workers, []
    for t in segment.iterations:
        for kind, rate in RATES.items():
            if rng.random() >= rate:
                continue
            at = {"worker": int(rng.integers(k)), "iteration": t}
            if kind == "corrupt":
                found.append(faults.corrupt(**at, how=rng.choice(CORRUPTIONS).item()))
            elif kind == "delay":
                found.append(faults.delay(**at, seconds=float(rng.uniform(0.1, 3))))
            elif kind == "fail":
                found.append(faults.fail(**at, late=bool(rng.random() < 0.5)))
            else:
                found.append(getattr(faults, kind)(**at))
    return found


def resident(pid: int | str = "self") -> float:
    """MB that a process has for itself."""
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    sizes = {name: size for name, _, size in (row.partition(":") for row in rows)}
    return int(sizes["RssAnon"].split()[0]) * 1024 / 1e6


def workers_resident() -> float:
    """MB of the largest worker that descends from this process."""
    parents, names = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            front, _, back = stat.read_text().rpartition(")")
        except OSError:  # it has just ended
            continue
        pid = int(stat.parent.name)
        parents[pid], names[pid] = int(back.split()[1]), front.partition("(")[2]
    own = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    sizes = []
    for pid in own:
        try:
            if names.get(pid, "").startswith("ray::_Actor"):
                sizes.append(resident(pid))
        except OSError:
            continue
    return max(sizes, default=float("nan"))


def final_loss(params: Array) -> float:
    """Over all examples."""
    return float(loss(params, jax.tree.map(jnp.asarray, problem())).mean())


def replayed(
    parts: Sequence[Segment],
    masks: Sequence[Bool[np.ndarray, " k"]],
    optimizer: optax.GradientTransformation,
    key: Array,
) -> TrainState:
    """Where these masks end on one device."""
    state, path = None, simulated(loss, optimizer)
    for segment in parts:
        with path(segment.job) as run:
            fresh = run.init(key, jnp.zeros(WIDTH))
            state = fresh if state is None else state
            for t in segment.iterations:
                state, _ = run.step(state, masks[t])
    assert state is not None
    return state


def soak(
    parts: Sequence[Segment],
    optimizer: optax.GradientTransformation,
    key: Array,
    rng: np.random.Generator,
    spares: int,
) -> tuple[TrainState, list[Bool[np.ndarray, " k"]]]:
    """The run on processes; prints what it meets."""
    iterations, state, masks = parts[-1].iterations.stop, None, []
    drawn: Counter[str] = Counter()
    met: Counter[str] = Counter()
    began = time.monotonic()
    with WorkerPool(WORKERS, spares=spares, hung_after=5.0) as pool:
        for segment in parts:
            if segment.was is not None:
                pool.resize(segment.was)
            k, struck = segment.job.plan.num_workers, draw_faults(segment, rng)
            drawn.update(fault.kind for fault in struck)
            path = ray(
                loss,
                optimizer,
                pool=pool,
                policy=wait_for(k - 1, at_most=0.5),
                faults=struck,
            )
            with path(segment.job) as run:
                fresh = run.init(key, jnp.zeros(WIDTH))
                state = fresh if state is None else state
                for t in segment.iterations:
                    state, report = run.step(state)
                    masks.append(report.answered)
                    for name in ("lost", "rejected", "dropped"):
                        met[name] += getattr(report.details, name)
                    if t + 1 in (max(iterations // 10, 1), iterations):
                        print(
                            f"iteration {t + 1}: driver {resident():.0f} MB, largest "
                            f"worker {workers_resident():.0f} MB",
                            flush=True,
                        )
            print(
                f"{k} workers until iteration {segment.iterations.stop}, after "
                f"{time.monotonic() - began:.0f} s; driver {resident():.0f} MB; faults "
                f"drawn {dict(drawn)}, met {dict(met)}",
                flush=True,
            )
    assert state is not None
    return state, masks


def main() -> None:
    """Soaks, replays, compares, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--spares", type=int, default=0)
    parser.add_argument("--references", type=int, default=5)
    options = parser.parse_args()
    # Of tasks that failed on purpose, and that nobody waits for any more.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    rng = np.random.default_rng(options.seed)
    key = jax.random.key(options.seed)
    schedule = optax.cosine_decay_schedule(0.1, options.iterations)
    optimizer = optax.sgd(schedule, momentum=0.9)
    parts = segments(options.iterations, rng)
    print(describe_machine())
    state, masks = soak(parts, optimizer, key, rng, options.spares)

    unanswered = sum(not mask.any() for mask in masks)
    missing = options.iterations - int(state.iteration)
    expected = replayed(parts, masks, optimizer, key)
    off = float(jnp.abs(state.params - expected.params).max())
    print(f"lost iterations: {unanswered} unanswered, {missing} missing")
    print(f"off the masks' simulation by {off:.2g} at most")
    print(f"answered: {np.mean([mask.mean() for mask in masks]):.3f} of the workers")
    everyone = [np.ones_like(mask) for mask in masks]
    losses = [
        final_loss(replayed(parts, everyone, optimizer, jax.random.key(s)).params)
        for s in range(options.references)
    ]
    print(
        f"final loss {final_loss(state.params):.6f}; without faults "
        f"{min(losses):.6f} to {max(losses):.6f}"
    )


if __name__ == "__main__":
    main()
