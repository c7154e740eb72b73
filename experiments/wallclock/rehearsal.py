"""Step sizes and settings by replay, before the run; and what replay expects of it.

Every scheme is given its best: the setting and the step size that reach the target
soonest in virtual time, on rounds of the same machines that the run does not see.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Float

from experiments.replay.virtual_time import begins, losses_of
from experiments.wallclock.problem import ClockProblem, loss
from experiments.wallclock.schemes import Entry
from jgc.design import Runnable
from jgc.design._runnable import schedule
from jgc.stragglers import LoadedTrace
from jgc.training import Partitions, arrays, partitioned


class Tuned(NamedTuple):
    """A scheme at its best.

    Attributes:
        entry: the setting.
        step_size: of plain SGD.
        seconds: to the target, the mean over rehearsals; infinite where none got there.
    """

    entry: Entry
    step_size: float
    seconds: float


def partitions_of(problem: ClockProblem, num_partitions: int) -> Partitions:
    """What is trained on, as jobs take it."""
    return partitioned(
        arrays(problem.examples), problem.partition, num_partitions=num_partitions
    )


def tune(
    entries: Iterable[Entry],
    problem: ClockProblem,
    seen: LoadedTrace,
    config: Any,
) -> Tuned:
    """The best of a scheme's settings and of `config.step_sizes`.

    A code that is re-designed as p becomes known is rehearsed as it begins.

    Args:
        entries: the settings.
        problem: what is trained.
        seen: rounds before the run.
        config: of the experiment.
    """
    steps = np.asarray(config.step_sizes, np.float64)
    best: Tuned | None = None
    for entry in entries:
        times = np.mean(
            [
                _seconds(entry, steps, problem, rounds, config)
                for rounds in _rehearsals(seen, config)
            ],
            axis=0,
        )
        at = int(times.argmin())
        if best is None or times[at] < best.seconds:
            best = Tuned(entry, float(steps[at]), float(times[at]))
    assert best is not None
    return best


def predicted(
    tuned: Tuned, problem: ClockProblem, latencies: LoadedTrace, config: Any
) -> float:
    """Virtual seconds to the target over these rounds; infinite if it is not reached.

    Of a code that follows p nothing is predicted: NaN.
    """
    if tuned.entry.following is not None:
        return float("nan")
    rounds = latencies.rounds(0, config.rehearsal_iterations)
    steps = np.array([tuned.step_size])
    return float(_seconds(tuned.entry, steps, problem, rounds, config)[0])


def _rehearsals(seen: LoadedTrace, config: Any) -> Iterable[LoadedTrace]:
    """Stretches of the rounds, as many as there are and at most `config.rehearsals`."""
    length = config.rehearsal_iterations
    starts = range(0, seen.recorded.num_rounds, length)
    for start in starts[: config.rehearsals]:
        yield seen.rounds(start, start + length)


def _seconds(
    entry: Entry,
    steps: Float[np.ndarray, " S"],
    problem: ClockProblem,
    rounds: LoadedTrace,
    config: Any,
) -> Float[np.ndarray, " S"]:
    """Seconds to the target with each step size, as the processes would take them."""
    found = schedule(
        Runnable(entry.plan, entry.decoder, entry.rule), _with(rounds, config)
    )
    losses = losses_of(
        loss,
        optax.sgd,
        problem.params,
        partitions_of(problem, config.num_partitions),
        jnp.asarray(found.coefficients, jnp.float32),
        jnp.asarray(steps, jnp.float32),
        iterations=config.rehearsal_iterations,
    )
    at = begins(found.waited, config.rehearsal_iterations)
    gap = np.asarray(losses, np.float64) - problem.least_loss
    met = gap <= config.target * gap[:, :1]
    return np.where(met.any(1), at[met.argmax(1)], np.inf)


def _with(rounds: LoadedTrace, config: Any) -> LoadedTrace:
    """What Ray and the driver take for themselves comes on top of each answer."""
    recorded = rounds.recorded
    later = recorded._replace(latencies=recorded.latencies + config.overhead)
    return rounds._replace(recorded=later)
