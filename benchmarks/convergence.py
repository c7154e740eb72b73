"""Runs per second of a convergence experiment: one compiled call against NumPy loops.

    python -m benchmarks.convergence

64 seeds of projected coded SGD on ridge regression. `jax`: all seeds in one call, by
the code of `experiments.convergence`. `numpy`: the loop that a careful researcher would
write, vectorised over the data, seeds one by one. `numpy, seeds vectorised`: the same
with a leading axis over seeds in every array, which is more work to write. All run the
same algorithm on masks of their own, in turns in one process; medians of their times.
Target: jax at least 10 times the runs per second of `numpy`.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

import jgc
from benchmarks.machine import describe_machine
from experiments.convergence.curves import LAST, measure
from experiments.convergence.problem import KnownProblem
from experiments.convergence.problems import ridge


class Arrays(NamedTuple):
    """What both NumPy loops work on, in float32 as JAX."""

    x: np.ndarray
    y: np.ndarray
    received: np.ndarray
    regularizer: np.float32
    answers: np.ndarray
    steps: np.ndarray


def make_arrays(
    problem: KnownProblem, plan: jgc.CodingPlan, step_sizes: np.ndarray
) -> Arrays:
    """Casts once; c per example is then one product with the masks."""
    received = (plan.weights[:, None] * plan.encoding_matrix()).astype(np.float32)
    return Arrays(
        x=problem.features.astype(np.float32),
        y=problem.targets.astype(np.float32),
        received=received[:, problem.partition] / np.float32(problem.features.shape[0]),
        regularizer=np.float32(_regularizer(problem)),
        answers=1 - plan.straggler_probabilities,
        steps=step_sizes.astype(np.float32),
    )


def numpy_runs(
    problem: KnownProblem, plan: jgc.CodingPlan, step_sizes: np.ndarray, num_seeds: int
) -> np.ndarray:
    """Mean gap at every iterate; seeds one by one."""
    x, y, received, regularizer, answers, steps = make_arrays(problem, plan, step_sizes)
    total = np.zeros(steps.size)
    for seed in range(num_seeds):
        rng = np.random.default_rng(seed)
        masks = rng.random((steps.size, answers.size)) < answers
        weights = masks.astype(np.float32) @ received
        beta = np.zeros(x.shape[1], np.float32)
        for t in range(steps.size):
            residual = x @ beta - y
            shrink = regularizer * (beta @ beta)
            total[t] += (residual @ residual / x.shape[0] + shrink) / 2
            gradient = (weights[t] * residual) @ x
            gradient += regularizer * weights[t].sum() * beta
            beta = beta - steps[t] * gradient
            norm = np.sqrt(beta @ beta)
            if norm > problem.radius:
                beta *= problem.radius / norm
    return total / num_seeds - problem.minimum


def numpy_runs_together(
    problem: KnownProblem, plan: jgc.CodingPlan, step_sizes: np.ndarray, num_seeds: int
) -> np.ndarray:
    """As `numpy_runs`, with all seeds in every array."""
    x, y, received, regularizer, answers, steps = make_arrays(problem, plan, step_sizes)
    gap = np.zeros(steps.size)
    rng = np.random.default_rng(0)
    beta = np.zeros((num_seeds, x.shape[1]), np.float32)
    for t in range(steps.size):
        mask = (rng.random((num_seeds, answers.size)) < answers).astype(np.float32)
        weights = mask @ received
        residual = beta @ x.T - y
        shrink = regularizer * np.einsum("sd,sd->s", beta, beta)
        squares = np.einsum("sx,sx->s", residual, residual)
        gap[t] = ((squares / x.shape[0] + shrink) / 2).mean()
        gradient = (weights * residual) @ x
        gradient += regularizer * weights.sum(axis=1, keepdims=True) * beta
        beta = beta - steps[t] * gradient
        norm = np.sqrt(np.einsum("sd,sd->s", beta, beta))[:, None]
        beta *= np.minimum(1, problem.radius / np.maximum(norm, 1e-30))
    return gap - problem.minimum


def _regularizer(problem: KnownProblem) -> float:
    gram = problem.features.T @ problem.features / problem.features.shape[0]
    return problem.strong_convexity - float(np.linalg.eigvalsh(gram)[0])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    problem = ridge(num_examples=200, dimension=8, num_partitions=10, regularizer=0.1)
    p = jgc.stragglers.deadline_probabilities(np.linspace(0.1, 2, 10), deadline=1.5)
    plan = jgc.codes.interval(p, num_partitions=10)
    t = np.arange(1, options.iterations + 1)
    steps = 1 / (problem.strong_convexity * t)
    repeat = iter(range(10**6))

    loops: dict[str, Callable[[], np.ndarray]] = {
        "jax": lambda: measure(
            problem,
            [plan],
            steps,
            what=LAST,
            average_weights=np.ones(t.size),
            num_seeds=options.seeds,
            seed=next(repeat),
        ).mean[0],
        "numpy": lambda: numpy_runs(problem, plan, steps, options.seeds),
        "numpy, seeds vectorised": lambda: numpy_runs_together(
            problem, plan, steps, options.seeds
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    start = time.perf_counter()
    loops["jax"]()
    first = time.perf_counter() - start
    for _ in range(options.repeats):
        for name, loop in loops.items():
            start = time.perf_counter()
            gap = loop()
            times[name].append(time.perf_counter() - start)
            assert gap.shape == t.shape
            assert gap[-1] < gap[0]

    print(describe_machine())
    print(
        f"{options.seeds} seeds, {options.iterations} iterations, 200 examples of "
        f"dimension 8, {jax.default_backend()}; first jax call, with compilation: "
        f"{first:.2f} s"
    )
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, value in median.items():
        print(
            f"  {name}: {value:.3f} s, {options.seeds / value:.0f} runs/s, "
            f"jax is {value / median['jax']:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
