"""Best unbiased decoding: never worse than fixed weights, without a bias, and fast.

    python -m benchmarks.best_unbiased [--codes=1000] [--fresh=10000000]
        [--masks=100000] [--numpy_masks=2000] [--large=100000]

Four checks, each printed with what it was measured over:

- `codes` random codes, laws and similarities, decoded by masks: the error over that of
  the unbiased fixed weights of the same code, which must not exceed 1.
- E[c] of an exact design over `fresh` masks, in standard errors.
- k = 100, `masks` masks, by code: jgc (float32) against the same decoder in
  straightforward NumPy, a mask at a time, on the first `numpy_masks` of them.
- the interval code of `large` workers: design and decode times, and the bias left.
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jgc
from benchmarks.machine import describe_machine
from benchmarks.timing import seconds
from jgc import codes, decoders, gradients

# Masks on which coefficients are compared; the pseudo-inverse takes its time.
_COMPARED = 100


def random_code(rng: np.random.Generator) -> jgc.CodingPlan:
    """k = 7, n = 5, any signs, some messages twice, p of any spread."""
    k, n = 7, 5
    while True:
        rows = np.where(rng.random((k, n)) < 0.5, rng.normal(size=(k, n)), 0)
        rows[rng.integers(k, size=n), np.arange(n)] = rng.uniform(0.5, 2, n)
        if rng.random() < 0.2:
            rows[0] = rows[1]
        p = 0.98 * (rng.random(k) if rng.random() < 0.5 else rng.beta(0.3, 0.3, k))
        w = np.linalg.lstsq(rows.T, np.ones(n), rcond=1e-9)[0]
        if np.allclose(rows.T @ w, 1):
            # Zeros are edges too: all codes have one shape, and compile once.
            return jgc.CodingPlan.from_edges(
                *np.indices((k, n)).reshape(2, -1),
                rows.ravel(),
                p=p,
                num_partitions=n,
                weights=w / (1 - p),
            )


def never_worse(num_codes: int) -> None:
    """The largest and the mean ratio to the fixed weights."""
    ratios, off = [], 0.0
    for seed in range(num_codes):
        rng = np.random.default_rng(seed)
        plan = random_code(rng)
        rho = float(rng.choice([0.0, rng.random(), 1.0]))
        decoder = decoders.best_unbiased(plan, gradients=rho)
        found = jgc.residual.enumerate_masks(plan, decoder=decoder, gradients=rho)
        fixed = jgc.residual.exact(plan, gradients=rho).mean
        ratios.append(found.mean / max(fixed, 1e-300))
        off = max(off, abs(found.mean - decoder.design.error) / max(fixed, 1e-300))
    print(
        f"{num_codes} random codes: best/fixed at most {max(ratios):.9f}, median "
        f"{np.median(ratios):.4f}, least {min(ratios):.2e}; closed form off by at most "
        f"{off:.1e} of the fixed weights' error"
    )


def bias_on_fresh_masks(num_masks: int) -> None:
    """E[c] − 1 of an exact design in standard errors."""
    psi = np.array([2, 1.7, 1.5, 1.2, 0.9, 0.6, 0.3, 0.15])
    plan = codes.interval(np.exp(-0.1 * psi), num_partitions=10)  # τ = 1.1
    decoder = decoders.best_unbiased(plan, gradients=0.5)
    chunk = 100_000

    @jax.jit
    def sums(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        uniform = jax.random.uniform(key, (plan.num_workers, chunk), jnp.float64)
        c = decoder.coefficients(plan, uniform >= plan.straggler_probabilities[:, None])
        return c.sum(axis=1), (c**2).sum(axis=1)

    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), num_masks // chunk)
        both = [sums(key) for key in keys]
    count = chunk * len(both)
    mean = np.sum([np.asarray(one) for one, _ in both], axis=0) / count
    square = np.sum([np.asarray(two) for _, two in both], axis=0) / count
    error = np.sqrt((square - mean**2) / count)
    print(
        f"{count} fresh masks, interval k = 8, n = 10, τ = 1.1, ρ = 0.5: E[c] − 1 at "
        f"most {np.abs((mean - 1) / error).max():.2f} standard errors, which are at "
        f"most {error.max():.1e}"
    )


def against_numpy(num_masks: int, num_numpy: int) -> None:
    """Seconds a mask of both, by code, and how far apart they are."""
    k, key = 100, jax.random.key(0)
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.4, k)
    masks = rng.random((k, num_masks)) >= p[:, None]
    print(
        f"k = {k}, {num_masks} masks, NumPy on the first {num_numpy}: µs a mask of the "
        f"clock (of all cores); apart: coefficients in float64 from those by singular "
        f"values, the median and the largest of {_COMPARED} masks\n"
        f"{'':<30}{'jgc':>17}{'solve':>17}{'pinv':>17}{'solve/jgc':>11}{'apart':>14}"
    )
    for name, plan in (
        ("interval: tridiagonal", codes.interval(p, num_partitions=k)),
        (
            "fractional repetition: blocks",
            codes.fractional_repetition(p, num_partitions=k, replication=2),
        ),
        ("random graph: components", codes.random_graph(p, num_partitions=50, key=key)),
        (
            "stochastic: Cholesky factors",
            codes.stochastic(p, num_partitions=k, replication=4, key=key),
        ),
    ):
        _against_numpy(name, plan, masks, num_numpy)


def _against_numpy(
    name: str, plan: jgc.CodingPlan, masks: np.ndarray, num_numpy: int
) -> None:
    rho, few = 0.5, masks[:, :_COMPARED]
    decoder = decoders.best_unbiased(
        plan, gradients=rho, key=jax.random.key(0), num_masks=128
    )
    decode = jax.jit(lambda decoder, plan, masks: decoder(plan, masks))
    given = jax.device_put((decoder, plan, masks))
    decode(*given).block_until_ready()
    ours = min(
        _seconds_each(masks.shape[1], lambda: decode(*given).block_until_ready())
        for _ in range(3)
    )

    matrix = plan.encoding_matrix()
    norm = np.linalg.norm(matrix, axis=1, keepdims=True)
    unit = np.divide(matrix, norm, out=np.zeros_like(matrix), where=norm > 0)
    common = unit.sum(axis=1)
    kernel = (1 - rho) * unit @ unit.T + rho * np.outer(common, common)
    tilt = unit @ decoder.design.multipliers

    def by_solve() -> None:
        for mask in masks[:, :num_numpy].T:
            inside = kernel[np.ix_(mask, mask)] + 1e-12 * np.eye(mask.sum())
            np.linalg.solve(inside, tilt[mask])

    def by_pinv() -> None:
        for mask in few.T:
            inside = kernel[np.ix_(mask, mask)]
            np.linalg.pinv(inside, rcond=1e-12, hermitian=True) @ tilt[mask]

    solve = min(_seconds_each(num_numpy, by_solve) for _ in range(2))
    pinv = _seconds_each(few.shape[1], by_pinv)
    with jax.enable_x64(True):
        found = np.asarray(decoder.coefficients(plan, few))
    off = np.abs(found - _by_singular_values(unit, rho, decoder, few)).max(axis=0)
    apart = f"{np.median(off):.0e} {off.max():.0e}"
    columns = "".join(
        f"{f'{1e6 * clock:.1f} ({1e6 * cores:.1f})':>17}"
        for clock, cores in (ours, solve, pinv)
    )
    ratios = f"{solve[0] / ours[0]:.0f} ({solve[1] / ours[1]:.0f})"
    print(f"{name:<30}{columns}{ratios:>11}{apart:>14}", flush=True)


def _by_singular_values(
    unit: np.ndarray, rho: float, decoder: decoders.Decoder, masks: np.ndarray
) -> np.ndarray:
    """The same coefficients by projection: a Gram matrix would square what is small."""
    n = unit.shape[1]
    values, vectors = np.linalg.eigh(gradients.similar(rho).gram_matrix(n))
    factor = vectors * np.sqrt(values) @ vectors.T
    target = np.linalg.solve(factor, decoder.design.multipliers)
    columns = []
    for mask in masks.T:
        rows = unit[mask & unit.any(axis=1)] @ factor
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        _, sizes, basis = np.linalg.svd(rows, full_matrices=False)
        spans = basis[sizes > 1e-9]
        columns.append(np.linalg.solve(factor, spans.T @ (spans @ target)))
    return np.array(columns).T


def _seconds_each(count: int, work: Callable[[], object]) -> tuple[float, float]:
    """Of the clock, and of all cores together, which other programs change less."""
    start = time.perf_counter(), time.process_time()
    work()
    end = time.perf_counter(), time.process_time()
    return (end[0] - start[0]) / count, (end[1] - start[1]) / count


class Large(NamedTuple):
    """An interval code of many workers, decoded best unbiased for ρ = 0.5.

    Attributes:
        num_workers: k = n.
        design_seconds: of the design, on the host.
        design_cpu_seconds: of all cores together.
        num_masks: that it is over.
        decode_seconds: of one mask, the least of 20 calls.
        median_decode_seconds: their median.
        num_together: masks decoded at once.
        together_seconds: of one mask among them, the least of 20 calls.
        error: E‖g − ĝ‖²/‖g‖².
        fixed_error: that of the plan's own weights.
        bias: root mean square over partitions.
        bias_standard_error: likewise.
    """

    num_workers: int
    design_seconds: float
    design_cpu_seconds: float
    num_masks: int
    decode_seconds: float
    median_decode_seconds: float
    num_together: int
    together_seconds: float
    error: float
    fixed_error: float
    bias: float
    bias_standard_error: float


def measure_large(num_workers: int, *, entries: int = 1 << 20) -> Large:
    """Design and decode at size, many masks at once with so many entries in all."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.05, 0.4, num_workers)
    plan = codes.interval(p, num_partitions=num_workers)
    start, cores = time.perf_counter(), time.process_time()
    decoder = decoders.best_unbiased(plan, gradients=0.5, key=jax.random.key(0))
    designed = time.perf_counter() - start
    cores = time.process_time() - cores
    decode = jax.jit(lambda decoder, plan, mask: decoder(plan, mask))

    def times(masks: np.ndarray) -> list[float]:
        given = jax.device_put((decoder, plan, masks))
        seconds(lambda: decode(*given))
        return [seconds(lambda: decode(*given)) for _ in range(20)]

    single = times(rng.random(num_workers) >= p)
    num_together = max(16, entries // num_workers)
    together = times(rng.random((num_workers, num_together)) >= p[:, None])
    found, norm = decoder.design, 0.5 * num_workers * (1 + num_workers)
    return Large(
        num_workers,
        designed,
        cores,
        found.num_masks,
        min(single),
        float(np.median(single)),
        num_together,
        min(together) / num_together,
        found.error / norm,
        jgc.residual.exact(plan, gradients=0.5).relative,
        float(np.sqrt((found.bias**2).mean())),
        float(np.sqrt((found.bias_standard_error**2).mean())),
    )


def large(num_workers: int) -> None:
    """Measures and prints."""
    one = measure_large(num_workers)
    print(
        f"interval k = n = {num_workers}: design {one.design_seconds:.1f} s "
        f"({one.design_cpu_seconds:.1f} of all cores) over {one.num_masks} masks, "
        f"one decode {1e3 * one.decode_seconds:.2f} ms (median "
        f"{1e3 * one.median_decode_seconds:.2f}), {1e6 * one.together_seconds:.1f} µs "
        f"a mask where {one.num_together} are decoded at once; relative error "
        f"{one.error:.3e}, fixed {one.fixed_error:.3e}; bias left {one.bias:.1e} a "
        f"partition (root mean square, its standard error "
        f"{one.bias_standard_error:.1e})"
    )


def main() -> None:
    """Runs what is asked for; 0 leaves a check out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", type=int, default=1000)
    parser.add_argument("--fresh", type=int, default=10_000_000)
    parser.add_argument("--masks", type=int, default=100_000)
    parser.add_argument("--numpy_masks", type=int, default=2000)
    parser.add_argument("--large", type=int, nargs="*", default=[1000, 100_000])
    arguments = parser.parse_args()
    print(describe_machine())
    if arguments.codes:
        never_worse(arguments.codes)
    if arguments.fresh:
        bias_on_fresh_masks(arguments.fresh)
    if arguments.masks:
        against_numpy(arguments.masks, arguments.numpy_masks)
    for num_workers in arguments.large:
        large(num_workers)


if __name__ == "__main__":
    main()
