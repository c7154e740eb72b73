r"""Advice on half of a trace against its rivals' best in hindsight on the other half.

    JGC_TRACES=/path/to/traces python -m benchmarks.advice

For every trace in the folder, at several parts of the seconds that are work, with the
data shuffled and sorted by class: the time to 1 % and 0.1 % of the initial gap of a
logistic regression, step sizes tuned for every method. Times are means over four orders
of the second half's rounds: 5 to 25 iterations see few rounds, and the luckiest of
forty rivals would be a matter of luck. About twenty minutes on 2 cores.
`--traces=cnn-canada-load0.csv --fractions=0.1` is one row. With `--in_parts` the
adviser may have workers send each partition when it is done; its rivals may not.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy.optimize

from experiments.replay.methods import METHODS, OF_PARTS, Entry
from experiments.replay.virtual_time import losses_of, seconds_to
from jgc.design._runnable import Schedule, schedule
from jgc.stragglers import LoadedTrace, load_trace, with_load
from jgc.training import Partitions, arrays, partitioned

_EXAMPLES, _DIMENSION, _RIDGE = 2560, 16, 1e-3
_ITERATIONS, _STARTS = 80, 4
_STEP_SIZES = np.geomspace(0.4, 30, 12)
_TARGETS = (1e-2, 1e-3)


class Problem(NamedTuple):
    """Logistic regression, its examples each a partition of its own."""

    data: dict[str, Partitions]
    least_loss: float


def _loss(params: jax.Array, examples: dict[str, jax.Array]) -> jax.Array:
    margin = examples["sign"] * (examples["x"] @ params)
    return jax.nn.softplus(-margin) + _RIDGE / 2 * (params @ params)


def make_problem() -> Problem:
    """Features of scales from 1 to 0.2, the same examples in two orders."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(_EXAMPLES, _DIMENSION)) * np.geomspace(1, 0.2, _DIMENSION)
    sign = np.where(
        rng.logistic(size=_EXAMPLES) < x @ rng.normal(size=_DIMENSION), 1, -1
    )

    def objective(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -sign * (x @ w)).mean() + _RIDGE / 2 * w @ w)

    least = scipy.optimize.minimize(
        objective, np.zeros(_DIMENSION), method="BFGS", options={"gtol": 1e-9}
    ).fun
    orders = {
        "shuffled": np.arange(_EXAMPLES),
        "sorted": np.argsort(sign, kind="stable"),
    }
    data = {}
    for name, order in orders.items():
        source = arrays(
            {
                "x": jnp.asarray(x[order], jnp.float32),
                "sign": jnp.asarray(sign[order], jnp.float32),
            }
        )
        rows = np.arange(_EXAMPLES)
        data[name] = partitioned(source, rows, num_partitions=_EXAMPLES)
    return Problem(data, float(least))


def times(problem: Problem, found: Schedule) -> dict[tuple[str, float], float]:
    """Mean seconds to each target in each order, at the best step size."""
    rounds = found.waited.size
    rng = np.random.default_rng(0)
    of_example = np.arange(_EXAMPLES) * found.coefficients.shape[1] // _EXAMPLES
    # An exact method is the same in every order of the data.
    is_exact = np.abs(found.coefficients - 1).max() < 1e-3
    total: dict[tuple[str, float], np.ndarray] = {}
    for start in range(_STARTS):
        order = rng.permutation(rounds) if start else np.arange(rounds)
        at = np.cumsum(np.resize(found.waited[order], _ITERATIONS))
        at = np.concatenate([[0.0], at[:-1]])
        for name, data in problem.data.items():
            source = "shuffled" if is_exact else name
            losses = np.asarray(
                losses_of(
                    _loss,
                    optax.sgd,
                    jnp.zeros(_DIMENSION),
                    problem.data[source] if is_exact else data,
                    jnp.asarray(found.coefficients[order][:, of_example], jnp.float32),
                    jnp.asarray(_STEP_SIZES),
                    iterations=_ITERATIONS,
                )
            )
            for target in _TARGETS:
                each = [
                    seconds_to(target, losses[s : s + 1], at, problem.least_loss)[0]
                    for s in range(_STEP_SIZES.size)
                ]
                key = name, target
                total[key] = total.get(key, np.zeros(len(each))) + each
    return {key: float(value.min() / _STARTS) for key, value in total.items()}


def _settings(path: Path, fractions: list[float]) -> Iterator[tuple[str, LoadedTrace]]:
    recorded = load_trace(path)
    for fraction in fractions:
        yield f"work {fraction:g}", with_load(recorded, work_fraction=fraction)


def main() -> None:
    """Prints a row a case, and how often the aims were met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", nargs="*", help="files in $JGC_TRACES; all")
    parser.add_argument(
        "--fractions", nargs="*", type=float, default=[0.0, 0.1, 0.5, 1.0]
    )
    parser.add_argument("--in_parts", action="store_true")
    options = parser.parse_args()
    adviser = "advised, in parts" if options.in_parts else "advised"
    methods = {name: make for name, make in METHODS.items() if name != "advised"}
    methods[adviser] = (METHODS | OF_PARTS)[adviser]
    folder = Path(os.environ["JGC_TRACES"])
    names = options.traces or sorted(path.name for path in folder.glob("*.csv"))
    problem = make_problem()
    cases = []
    for name in names:
        for label, latencies in _settings(folder / name, options.fractions):
            rounds = latencies.recorded.num_rounds
            seen, after = (
                latencies.rounds(0, rounds // 2),
                latencies.rounds(rounds // 2, rounds),
            )
            found: dict[str, list[tuple[Entry, dict]]] = {}
            for method, make in methods.items():
                found[method] = [
                    (e, times(problem, schedule(e, after))) for e in make(seen, after)
                ]
            advised, own = found.pop(adviser)[0]
            print(f"{name}, {label}: {advised.name}")
            for key, seconds in own.items():
                rivals = [(t[key], e, m) for m, rows in found.items() for e, t in rows]
                least, entry, method = min(rivals, key=lambda rival: rival[0])
                everyone = found["wait for all"][0][1][key]
                relative = seconds / everyone
                cases.append((seconds / least, relative, advised.relative_seconds))
                print(
                    f"  {key[0]}, {key[1]:g}: {seconds:.3g} s, {relative:.2f} of "
                    f"waiting for all (predicted {advised.relative_seconds:.2f}), "
                    f"{seconds / least:.2f} of {method}, {entry.name}",
                    flush=True,
                )
    over, relative, predicted = np.array(cases).T
    close = np.abs(np.log(predicted / relative)) < np.log(1.2)
    print(
        f"{len(cases)} cases: within 10 % of the best in hindsight "
        f"{np.mean(over < 1.1):.0%}, at worst {over.max():.2f}; slower than waiting "
        f"for all {np.sum(relative > 1)}; prediction within 20 % {close.mean():.0%}"
    )


if __name__ == "__main__":
    main()
