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
import statistics
import time
from collections.abc import Callable

import jax
import numpy as np
from scipy import sparse

import jgc
from benchmarks.machine import describe_machine
from jgc import CodingPlan, codes, decoders, residual
from jgc.residual import random_masks

SIMILARITY = 0.3
KEY = jax.random.key(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer trials and repeats")
    parser.add_argument("--workers", type=int, nargs="+", default=[10, 100, 1000])
    arguments = parser.parse_args()
    repeats = 3 if arguments.quick else 7
    print(describe_machine())
    print("\nRandom bits, million a second")
    random_bits(repeats)
    for k in arguments.workers:
        p = np.random.default_rng(k).uniform(0.1, 0.9, k)
        plan = codes.interval(p, num_partitions=k)
        graph = codes.random_graph(p, num_partitions=k, key=KEY)
        print(f"\nk = n = {k}: microseconds a trial, ratio to jgc")
        for similarity in (1.0, SIMILARITY):
            fixed_decoding(plan, similarity, repeats, quick=arguments.quick)
        for one in (plan, graph):
            optimal_decoding(one, repeats, quick=arguments.quick)
            time_to_precision(one)


def compare(
    title: str,
    candidates: dict[str, tuple[Callable[[], object], int]],
    repeats: int,
) -> None:
    """Prints the median time a trial of each candidate; the first is jgc's.

    Args:
        title: of the row.
        candidates: a function and the trials that a call makes.
        repeats: of each, in turns.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for function, _ in candidates.values():
        function()
    for _ in range(repeats):
        for name, (function, trials) in candidates.items():
            started = time.perf_counter()
            function()
            seconds[name].append((time.perf_counter() - started) / trials)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    base = next(iter(medians.values()))
    print(f"  {title}")
    for name, median in medians.items():
        print(f"    {name:<44}{median * 1e6:>12.4f}{median / base:>9.1f}x")


def random_bits(repeats: int) -> None:
    """What bounds fixed decoding: how fast each side draws."""
    count = 1 << 22
    rng = np.random.default_rng(0)
    words = random_masks.key_words(KEY)
    limits = random_masks.thresholds(np.full(16, 0.3))

    @jax.jit
    def masks() -> jax.Array:
        def block(i: jax.Array, total: jax.Array) -> jax.Array:
            packed = random_masks.bernoulli_masks(
                words, i.astype(np.uint32), limits, size=8192
            )
            return total + packed.words.sum()

        return jax.lax.fori_loop(0, count // (16 * 8192), block, np.uint32(0))

    uniforms = jax.jit(lambda: jax.random.uniform(KEY, (count,)))
    compare(
        "Bernoulli draws (microseconds each)",
        {
            "jgc, packed masks": (lambda: masks().block_until_ready(), count),
            "jax.random.uniform": (lambda: uniforms().block_until_ready(), count),
            "numpy Generator.random, float32": (
                lambda: rng.random(count, dtype=np.float32),
                count,
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
    candidates: dict[str, tuple[Callable[[], object], int]] = {
        "jgc": (
            lambda: residual.monte_carlo(
                KEY, plan, num_trials=trials, similarity=similarity
            ),
            trials,
        ),
        "numpy, matrix product": (
            lambda: numpy_fixed(plan, dense, target, numpy_trials),
            numpy_trials,
        ),
    }
    if similarity < 1 and k >= 100:
        # A researcher who uses that A is sparse: c first, then the two norms.
        edges = sparse.csr_array(encoded.astype(np.float32)).T.tocsr()
        candidates["scipy.sparse"] = (
            lambda: scipy_fixed(plan, edges, similarity, numpy_trials),
            numpy_trials,
        )
    compare(f"fixed, similarity {similarity:g}", candidates, repeats)


def model_factor(n: int, similarity: float) -> np.ndarray:
    aligned = np.full((n, 1), np.sqrt(similarity))
    if similarity == 1:
        return aligned
    return np.hstack([np.sqrt(1 - similarity) * np.eye(n), aligned])


def chunks(trials: int, num_workers: int) -> list[int]:
    """Chunks whose uniforms are half a megabyte."""
    size = min(trials, max(64, (1 << 17) // num_workers))
    return [size] * (trials // size)


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
    trials = {10: 1 << 20, 100: 1 << 12}.get(k, 1 << 8)
    few = {10: 1 << 12, 100: 1 << 7}.get(k, 2)
    if quick:
        trials = max(trials // 4, 256)
    matrix = plan.encoding_matrix()
    answers = 1 - plan.straggler_probabilities

    def jgc_decoding(decoder: decoders.Decoder) -> Callable[[], object]:
        return lambda: residual.monte_carlo(
            KEY, plan, num_trials=trials, decoder=decoder, similarity=0.0
        )

    candidates: dict[str, tuple[Callable[[], object], int]] = {
        "jgc, least_squares": (jgc_decoding(decoders.least_squares), trials)
    }
    if k <= 16:
        # Without the table of all masks, which needs 2^k trials to be worth it.
        masks = np.random.default_rng(0).random((k, few)) < answers[:, None]
        decode = jax.jit(lambda mask: decoders.least_squares(plan, mask))

        def without_table() -> None:
            with jax.enable_x64(True):
                decode(masks).block_until_ready()

        candidates["jgc, each trial decoded"] = (without_table, few)
    if plan.name == "OD":
        candidates["jgc, graph"] = (jgc_decoding(decoders.graph), trials)
    candidates |= {
        "numpy, batched solve with a ridge": (
            lambda: batched_solve(matrix, answers, few),
            few,
        ),
        "numpy, batched pinv": (lambda: batched_pinv(matrix, answers, few), few),
        "numpy, loop of lstsq": (
            lambda: loop_of_lstsq(matrix, answers, min(few, 256)),
            min(few, 256),
        ),
    }
    compare(f"optimal decoding of {plan.name}", candidates, 3 if k > 100 else repeats)


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


def time_to_precision(plan: CodingPlan) -> None:
    """Time to a relative standard error of 1 %, with and without control variates."""
    for controlled in (True, False):

        def run(controlled: bool = controlled) -> jgc.residual.ResidualError:
            return residual.monte_carlo(
                KEY,
                plan,
                num_trials=10**6,
                decoder=decoders.least_squares,
                similarity=1.0,
                target_relative_error=0.01,
                control_variate=controlled,
            )

        run()
        started = time.perf_counter()
        result = run()
        seconds = time.perf_counter() - started
        name = "control variates" if controlled else "plain"
        print(
            f"    to 1 % relative standard error, {name}: {seconds:.3f} s, "
            f"{result.trials} trials"
        )


if __name__ == "__main__":
    main()
