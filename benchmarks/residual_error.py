"""Monte Carlo of the residual error, jgc against NumPy, in one process.

    python -m benchmarks.residual_error            # some minutes
    python -m benchmarks.residual_error --quick    # a look, not a measurement

Times are medians of repeats that alternate between the candidates, so that a busy
machine is busy for all of them. The NumPy side is written as its users would: batches
that fit the cache, float32 uniforms, one matrix product, no loop over trials; batched
`pinv` and `solve` for optimal decoding, and the loop of `lstsq` that papers ship.
Compilation is not counted; a jgc call is, whole, with its preparations on the host.
"""

import argparse
import ctypes
import math
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from scipy import sparse

from benchmarks.machine import describe_machine
from jgc import CodingPlan, codes, decoders, residual
from jgc.residual._sampling import random_masks

SIMILARITY = 0.3
KEY = jax.random.key(0)


class Candidate(NamedTuple):
    """A function to time, the trials that a call makes, and whether NumPy's BLAS."""

    function: Callable[[], object]
    trials: int
    uses_blas: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer trials and repeats")
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    arguments = parser.parse_args()
    repeats = 3 if arguments.quick else 7
    print(describe_machine())
    print("\nRandom bits")
    random_bits(repeats)
    for k in arguments.workers:
        p = np.random.default_rng(k).uniform(0.1, 0.9, k)
        plan = codes.interval(p, num_partitions=k)
        print(f"\nk = n = {k}: microseconds a trial, ratio to jgc")
        for similarity in (1.0, SIMILARITY):
            fixed_decoding(plan, similarity, repeats, quick=arguments.quick)
        # A narrow code, a graph, and one without any structure.
        for one in (
            plan,
            codes.random_graph(p, num_partitions=k, key=KEY),
            codes.stochastic(p, num_partitions=k, key=KEY, replication=3),
        ):
            optimal_decoding(one, 3 if k >= 1000 else repeats, quick=arguments.quick)


def compare(
    title: str, candidates: dict[str, Candidate], repeats: int
) -> dict[str, float]:
    """Prints and returns the median seconds a trial of each; the first is the base.

    NumPy runs with one BLAS thread and with all, and has the better of the two: its
    products of this size are often slower with more.
    """
    variants = [
        (name, threads)
        for name, candidate in candidates.items()
        for threads in ((1, os.cpu_count()) if candidate.uses_blas else (None,))
    ]
    seconds: dict[tuple[str, int | None], list[float]] = {v: [] for v in variants}
    for repeat in range(repeats + 1):
        for name, threads in variants:
            candidate = candidates[name]
            set_blas_threads(threads)
            started = time.perf_counter()
            candidate.function()
            elapsed = time.perf_counter() - started
            if repeat:  # the first compiles and warms up
                seconds[name, threads].append(elapsed / candidate.trials)
    set_blas_threads(None)
    medians = {
        name: min(
            statistics.median(times)
            for (other, _), times in seconds.items()
            if other == name
        )
        for name in candidates
    }
    base = next(iter(medians.values()))
    print(f"  {title}")
    for name, median in medians.items():
        print(f"    {name:<44}{median * 1e6:>12.4f}{median / base:>9.1f}x")
    return medians


def set_blas_threads(count: int | None) -> None:
    """Threads of the OpenBLAS that NumPy's wheels bring; None for all cores."""
    for library in Path(np.__file__).parent.parent.glob("numpy.libs/*openblas*"):
        setter = getattr(
            ctypes.CDLL(str(library)), "scipy_openblas_set_num_threads64_", None
        )
        if setter is not None:
            setter(count or os.cpu_count() or 1)


def masks_alone(p: np.ndarray, num_trials: int) -> Callable[[], jax.Array]:
    """A call that draws the masks of so many trials, in whole blocks, and adds them up.

    What bounds fixed decoding: it draws the same.
    """
    words = random_masks.key_words(KEY)
    limits = random_masks.thresholds(p[None])
    size = random_masks.block_size(p.size)

    @jax.jit
    def draw() -> jax.Array:
        def block(i: jax.Array, total: jax.Array) -> jax.Array:
            packed = random_masks.bernoulli_masks(
                words, i.astype(np.uint32), limits, size=size
            )
            return total + packed.words.sum()

        return jax.lax.fori_loop(0, num_trials // size, block, np.uint32(0))

    return lambda: draw().block_until_ready()


def random_bits(repeats: int) -> None:
    """How fast each side draws."""
    count = 1 << 22
    rng = np.random.default_rng(0)
    uniforms = jax.jit(lambda: jax.random.uniform(KEY, (count,)))
    compare(
        "Bernoulli draws, microseconds each",
        {
            "jgc, packed masks": Candidate(
                masks_alone(np.full(16, 0.3), count // 16), count
            ),
            "jax.random.uniform": Candidate(
                lambda: uniforms().block_until_ready(), count
            ),
            "numpy Generator.random, float32": Candidate(
                lambda: rng.random(count, dtype=np.float32), count
            ),
        },
        repeats,
    )


def fixed_decoding(
    plan: CodingPlan, similarity: float, repeats: int, *, quick: bool
) -> None:
    k = plan.num_workers
    trials = max((1 << (23 if quick else 25)) // k, 1 << 13)
    numpy_trials = max(trials // 8, 1 << 12)
    factor = model_factor(plan.num_partitions, similarity)
    encoded = plan.weights[:, None] * plan.encoding_matrix()
    dense = (encoded @ factor).astype(np.float32)
    target = factor.sum(axis=0).astype(np.float32)
    candidates = {
        "jgc": Candidate(
            lambda: residual.monte_carlo(
                KEY, plan, num_trials=trials, gradients=similarity
            ),
            trials,
        ),
        "numpy, matrix product": Candidate(
            lambda: numpy_fixed(plan, dense, target, numpy_trials), numpy_trials, True
        ),
    }
    if similarity < 1:
        # A researcher who uses that A is sparse: c first, then the two norms.
        edges = sparse.csr_array(encoded.astype(np.float32)).T.tocsr()
        candidates["numpy and scipy.sparse"] = Candidate(
            lambda: scipy_fixed(plan, edges, similarity, numpy_trials), numpy_trials
        )
    compare(f"fixed, similarity {similarity:g}", candidates, repeats)


def model_factor(n: int, similarity: float) -> np.ndarray:
    aligned = np.full((n, 1), np.sqrt(similarity))
    if similarity == 1:
        return aligned
    return np.hstack([np.sqrt(1 - similarity) * np.eye(n), aligned])


def chunks(trials: int, num_workers: int) -> list[int]:
    """Chunks whose uniforms are near half a megabyte, in a core's cache."""
    size = min(trials, max(64, (1 << 17) // num_workers))
    return [size] * (trials // size) + [trials % size] * (trials % size > 0)


def numpy_fixed(
    plan: CodingPlan, matrix: np.ndarray, target: np.ndarray, trials: int
) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    answers = (1 - plan.straggler_probabilities).astype(np.float32)
    errors = np.empty(trials, np.float32)
    done = 0
    for size in chunks(trials, answers.size):
        mask = rng.random((size, answers.size), dtype=np.float32) < answers
        difference = mask.astype(np.float32) @ matrix - target
        errors[done : done + size] = np.einsum("ij,ij->i", difference, difference)
        done += size
    return errors.mean(dtype=np.float64), errors.std(dtype=np.float64)


def scipy_fixed(
    plan: CodingPlan, edges: sparse.csr_array, similarity: float, trials: int
) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    answers = (1 - plan.straggler_probabilities).astype(np.float32)[:, None]
    errors = np.empty(trials, np.float32)
    done = 0
    for size in chunks(trials, answers.size):
        mask = rng.random((answers.size, size), dtype=np.float32) < answers
        difference = edges @ mask.astype(np.float32) - 1
        errors[done : done + size] = similarity * difference.sum(axis=0) ** 2 + (
            1 - similarity
        ) * np.einsum("ij,ij->j", difference, difference)
        done += size
    return errors.mean(dtype=np.float64), errors.std(dtype=np.float64)


def optimal_decoding(plan: CodingPlan, repeats: int, *, quick: bool) -> None:
    k = plan.num_workers
    is_structured = decoders.least_squares.specialised([plan]) is not (
        decoders.least_squares
    )
    # Whole blocks: jgc computes no less.
    block = random_masks.block_size(k)
    trials = block * (64 if k <= 16 else (4 if is_structured else 1))
    few = 1 << 12 if k <= 16 else (1 << 7 if k < 1000 else 2)
    if quick:
        trials = max(trials // 4, block)
    matrix = plan.encoding_matrix()
    answers = 1 - plan.straggler_probabilities

    def sampled(decoder: decoders.Decoder) -> Candidate:
        return Candidate(
            lambda: residual.monte_carlo(
                KEY, plan, num_trials=trials, decoder=decoder, gradients=0.0
            ),
            trials,
        )

    candidates = {"jgc, least_squares": sampled(decoders.least_squares)}
    if k <= 16:
        # Without the table of all masks, which needs 2^k trials to be worth it.
        masks = np.random.default_rng(0).random((k, few)) < answers[:, None]
        decode = jax.jit(lambda mask: decoders.least_squares(plan, mask))

        def without_table() -> None:
            with jax.enable_x64(True):
                decode(masks).block_until_ready()

        candidates["jgc, each trial decoded by itself"] = Candidate(without_table, few)
    if plan.name == "random_graph":
        candidates["jgc, graph"] = sampled(decoders.graph)
    for name, function, number in (
        ("numpy, batched solve with a ridge", batched_solve, few),
        ("numpy, batched pinv", batched_pinv, few),
        ("numpy, loop of lstsq", loop_of_lstsq, min(few, 64)),
    ):
        candidates[name] = Candidate(
            partial(function, matrix, answers, number), number, True
        )
    medians = compare(f"optimal decoding of {plan.name}", candidates, repeats)
    time_to_precision(plan, medians["numpy, batched solve with a ridge"])


def draw(answers: np.ndarray, trials: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.random((trials, answers.size), dtype=np.float32) < answers


def batched_solve(matrix: np.ndarray, answers: np.ndarray, trials: int) -> float:
    """Masked Gram matrices, made regular as one does: a ridge and ones outside."""
    mask = draw(answers, trials)
    gram, sums = matrix @ matrix.T, matrix.sum(axis=1)
    masked = gram * (mask[:, :, None] & mask[:, None, :])
    diagonal = np.einsum("tii->ti", masked)
    diagonal += np.where(mask, 1e-10 * gram.max(), 1.0)
    weights = np.linalg.solve(masked, (mask * sums)[:, :, None])[:, :, 0] * mask
    return float(((weights @ matrix - 1) ** 2).sum(axis=1).mean())


def batched_pinv(matrix: np.ndarray, answers: np.ndarray, trials: int) -> float:
    mask = draw(answers, trials)
    gram, sums = matrix @ matrix.T, matrix.sum(axis=1)
    masked = gram * (mask[:, :, None] & mask[:, None, :])
    inverse = np.linalg.pinv(masked, rcond=1e-12, hermitian=True)
    weights = np.einsum("tij,tj->ti", inverse, mask * sums)
    return float(((weights @ matrix - 1) ** 2).sum(axis=1).mean())


def loop_of_lstsq(matrix: np.ndarray, answers: np.ndarray, trials: int) -> float:
    ones, total = np.ones(matrix.shape[1]), 0.0
    for mask in draw(answers, trials):
        rows = matrix[mask]
        weights = np.linalg.lstsq(rows.T, ones, rcond=None)[0]
        total += float(((weights @ rows - 1) ** 2).sum())
    return total / trials


def time_to_precision(plan: CodingPlan, numpy_seconds: float) -> None:
    """Time to relative standard errors; NumPy's from its time a trial."""

    def run(target: float, controlled: bool) -> tuple[residual.ResidualError, float]:
        started = time.perf_counter()
        result = residual.monte_carlo(
            KEY,
            plan,
            num_trials=10**7,
            decoder=decoders.least_squares,
            gradients=0.0,
            target_relative_error=target,
            control_variate=controlled,
        )
        return result, time.perf_counter() - started

    is_slow = plan.num_workers >= 100 and plan.name == "stochastic"
    for target in (0.01,) if is_slow else (0.01, 0.001):
        print(f"    to a relative standard error of {target:.1%}, milliseconds")
        for controlled, name in ((True, "jgc"), (False, "jgc, no control variates")):
            run(target, controlled)
            result, seconds = run(target, controlled)
            print(f"      {name:<42}{seconds * 1e3:>12.1f} ({result.trials} trials)")
        # What the plain run's standard error says is needed, without whole blocks.
        relative = result.standard_error / result.mean
        needed = math.ceil(result.trials * (relative / target) ** 2)
        print(
            f"      {'numpy, batched solve':<42}{needed * numpy_seconds * 1e3:>12.1f} "
            f"({needed} trials)"
        )


if __name__ == "__main__":
    main()
