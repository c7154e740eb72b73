"""How soon a deadline that adapts fits again when the speed of the workers changes.

    python -m benchmarks.adaptive                          # models; some minutes
    python -m benchmarks.adaptive --traces /folder/of/csv  # recorded latencies instead

All seconds are multiplied by a factor from the middle of a run on. Of each setting,
over its runs: after how many rounds the deadline first lies within a factor of 1.25, or
of 1.4, of the median time to the goal at the new speed; how often rounds reach the goal
in steady state (from the tenth round to the change), and the band of eight in ten of
the deadlines there, over the median time to the goal.
"""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from benchmarks.machine import describe_machine
from jgc import CodingPlan, codes, stragglers
from jgc.design import rules

ROUNDS = 60
DRAWS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "1 + Exp(1)": lambda rng, k: 1 + rng.exponential(size=(ROUNDS, k)),
    "1 + Exp(1)/10": lambda rng, k: 1 + rng.exponential(0.1, (ROUNDS, k)),
    "lognormal": lambda rng, k: np.exp(rng.normal(0, 0.5, (ROUNDS, k))),
}


class Setting(NamedTuple):
    """A plan, a goal, and its rounds.

    Attributes:
        name: in print.
        plan: of the workers.
        goal: that a deadline follows.
        least: the floor.
        draw: `draw(rng) -> (T, k)` seconds of a run.
    """

    name: str
    plan: CodingPlan
    goal: rules.Rule
    least: int
    draw: Callable[[np.random.Generator], np.ndarray]


def of_models() -> Iterator[Setting]:
    """Workers that are alike."""
    for k, count, least in ((8, 7, 4), (10, 8, 3), (10, 7, 5), (64, 56, 16)):
        plan = codes.uncoded(np.full(k, 0.1), num_partitions=k)
        for name, draw in DRAWS.items():
            yield Setting(
                f"{name}, first {count} of {k}, least {least}",
                plan,
                rules.first(plan, count),
                least,
                partial(draw, k=k),
            )
    pairs = codes.fractional_repetition(
        np.full(12, 0.1), num_partitions=12, replication=2
    )
    for share in (0.8, 1.0):
        name = f"1 + Exp(1), {share:.0%} of the data of 6 pairs, least 3"
        draw = partial(DRAWS["1 + Exp(1)"], k=12)
        yield Setting(name, pairs, rules.coverage(pairs, share), 3, draw)


def of_trace(path: Path) -> Iterator[Setting]:
    """Some workers of a trace, which begins at any of its rounds."""
    recorded = stragglers.load_trace(path).latencies
    rounds, workers = recorded.shape

    def draw(rng: np.random.Generator, k: int) -> np.ndarray:
        own = np.sort(rng.choice(workers, k, replace=False))
        rows = (rng.integers(rounds) + np.arange(ROUNDS)) % rounds
        return recorded[rows][:, own]

    for k in (16, workers):
        plan = codes.uncoded(np.full(k, 0.1), num_partitions=k)
        for share, floor in ((0.9, 0.5), (0.97, 0.25)):
            goal = rules.first(plan, int(share * k))
            name = f"{path.stem}, {int(share * k)} of {k}, least {int(floor * k)}"
            yield Setting(name, plan, goal, int(floor * k), partial(draw, k=k))


@jax.jit
def deadlines(
    rule: rules.Rule, seconds: Float[Array, "runs T k"]
) -> tuple[Float[Array, "runs T"], Float[Array, "runs T"], Float[Array, "runs T"]]:
    """Of each round: the deadline, the time to the goal, and how long was waited."""

    def round(past: rules.Past, row: Array) -> tuple[rules.Past, tuple[Array, ...]]:
        now = rule.after(past)
        waited, answered = now(row)
        return past.then(row, answered, waited), (
            now.until,
            rule.goal.stop(row),
            waited,
        )

    def run(rows: Array) -> tuple[Array, ...]:
        nothing = jax.tree.map(jnp.float32, rules.Past.nothing(rows.shape[1]))
        return jax.lax.scan(round, nothing, rows)[1]

    return jax.vmap(run)(seconds)


def row(setting: Setting, factor: float, runs: int) -> str:
    """A line of the table."""
    seconds = np.stack([setting.draw(np.random.default_rng(s)) for s in range(runs)])
    middle = ROUNDS // 2
    seconds[:, middle:] *= factor
    rule = rules.adaptive(setting.plan, setting.goal, least=setting.least, at_most=1e9)
    found = deadlines(rule, jnp.asarray(seconds, jnp.float32))
    until, goal, waited = map(np.asarray, found)
    off = np.abs(np.log(until[:, middle:] / np.median(goal[:, middle:])))
    cells = [setting.name]
    for within in (1.25, 1.4):
        fits = off < np.log(within)
        first = np.where(fits.any(1), fits.argmax(1), ROUNDS)
        cells += [f"{np.median(first):.0f}", f"{(first <= 5).mean():.1%}"]
    steady = slice(9, middle)
    reached = (goal <= waited)[:, steady].mean()
    low, high = np.quantile(until[:, steady], [0.1, 0.9]) / np.median(goal[:, :middle])
    return " | ".join([*cells, f"{reached:.0%}", f"{low:.2f} to {high:.2f}"])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--factor", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--traces", type=Path)
    options = parser.parse_args()
    print(describe_machine())
    print(f"seconds times {options.factor:g} from round {ROUNDS // 2} on")
    print(
        "setting | within 1.25: median round | by the fifth | within 1.4: median round "
        "| by the fifth | reach the goal | deadlines"
    )
    settings = of_models()
    if options.traces:
        found = sorted(options.traces.glob("*.csv"))
        settings = (one for path in found for one in of_trace(path))
    for setting in settings:
        print(row(setting, options.factor, options.runs), flush=True)


if __name__ == "__main__":
    main()
