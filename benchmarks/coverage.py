"""How often Monte Carlo's 95 % intervals hold the truth, rare events included.

    python -m benchmarks.coverage            # 500 repeats a case, some minutes
    python -m benchmarks.coverage --repeats 50 --only markov

The truth is a closed form or an enumeration. A run may answer that its sample supports
no standard error: such runs are counted apart, and the rest should cover 93 to 97 %.
"""

import argparse
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.special

from benchmarks.machine import describe_machine
from jgc import CodingPlan, codes, decoders, stragglers
from jgc.residual import enumerate_masks, exact, monte_carlo

KEY = jax.random.key(2)
Z = 1.959964

MIXED = np.array([1e-4, 1e-3, 0.02, 0.1, 0.3, 0.5, 0.9, 0.999, 0.9999, 0.2])
RARE = np.full(10, 1e-4)
COMMON = np.linspace(0.05, 0.6, 10)
NEVER = np.array([0.3, 0.2, 0.99999, 0.4, 0.1, 0.25, 0.5, 0.15, 0.35, 0.45])


class Case(NamedTuple):
    """A plan, how its error is sampled, and what it is."""

    name: str
    plan: CodingPlan
    truth: Callable[[], float]
    options: dict[str, Any]


class Row(NamedTuple):
    """What the repeats of a case gave.

    Attributes:
        name: of the case.
        coverage: of the runs that stated a standard error.
        refused: runs that stated none.
        bias: mean error of the means that were stated, in their standard errors.
        relative: the median relative standard error.
        trials: the median.
    """

    name: str
    coverage: float
    refused: int
    bias: float
    relative: float
    trials: int


def measure(case: Case, repeats: int) -> Row:
    """Runs a case with as many keys."""
    results = [
        monte_carlo(jax.random.key(seed), case.plan, progress=False, **case.options)
        for seed in range(repeats)
    ]
    truth = case.truth()
    mean = np.array([result.mean for result in results])
    error = np.array([result.standard_error for result in results])
    stated = np.isfinite(error)
    if not stated.any():
        return Row(case.name, np.nan, repeats, np.nan, np.inf, results[0].trials)
    mean, error = mean[stated], error[stated]
    return Row(
        name=case.name,
        coverage=float((np.abs(mean - truth) <= Z * error).mean()),
        refused=int((~stated).sum()),
        bias=float((mean - truth).mean() / error.mean()),
        relative=float(np.median(error) / truth),
        trials=int(np.median([result.trials for result in results])),
    )


def cases() -> list[Case]:
    """Every family of decoders, independent and dependent stragglers."""
    return [*_independent(), *_dependent()]


def _enumerated(name: str, plan: CodingPlan, **options: Any) -> Case:
    known = {key: options[key] for key in ("decoder", "gradients") if key in options}
    return Case(name, plan, lambda: enumerate_masks(plan, **known).mean, options)


def _independent() -> list[Case]:
    n, many = 10, {"num_trials": 50_000}
    few = {"num_trials": 2000}
    stop = {"num_trials": 10**6, "target_relative_error": 0.01}
    whole = {"decoder": decoders.representative}
    best = {"decoder": decoders.least_squares}
    groups = {"num_partitions": n, "replication": 2}
    repeated = codes.fractional_repetition(RARE, **groups)
    pair = codes.fractional_repetition(
        np.full(8, 0.02), num_partitions=8, replication=2
    )
    mixed = codes.interval(MIXED, num_partitions=n)
    never = codes.stochastic(NEVER, num_partitions=n, key=KEY, replication=2)
    cyclic = codes.cyclic_repetition(RARE, num_partitions=n, num_stragglers=2)
    ring = codes.random_graph(np.full(10, 1e-3), num_partitions=n, key=KEY)
    graph = codes.random_graph(MIXED, num_partitions=n, key=KEY)
    large = codes.fractional_repetition(
        np.full(1000, 0.01), num_partitions=1000, replication=2
    )
    lone = codes.interval(np.full(100, 1e-4), num_partitions=100)

    def of_large() -> float:
        lost, q = 500, 0.01**2
        return 4 * (lost * q + lost * (lost - 1) * q**2)

    def closed(name: str, plan: CodingPlan, **options: Any) -> Case:
        related = options.get("gradients")
        return Case(name, plan, lambda: exact(plan, gradients=related).mean, options)

    return [
        closed(
            "fixed, interval, common p", codes.interval(COMMON, num_partitions=n), **few
        ),
        closed("fixed, interval, p 1e-4 to 0.9999", mixed, gradients=0.3, **many),
        closed("fixed, interval, p 1e-4 to 0.9999, to 1 %", mixed, **stop),
        closed("fixed, SGC, one p 0.99999", never, **many),
        closed("fixed, SGC, one p 0.99999, to 1 %", never, **stop),
        closed("fixed, interval, k 100, p 1e-4", lone, gradients=0.3, **many),
        _enumerated("representative, p 0.02", pair, **whole, **many),
        _enumerated("representative, p 0.02, to 1 %", pair, **whole, **stop),
        _enumerated("representative, p 1e-4", repeated, **whole, **many),
        _enumerated(
            "representative, p 1e-4 to 0.9999",
            codes.fractional_repetition(MIXED, **groups),
            **whole,
            **many,
        ),
        Case("representative, k 1000, p 0.01", large, of_large, whole | few),
        Case("representative, k 1000, p 0.01, to 1 %", large, of_large, whole | stop),
        _enumerated(
            "least squares, common p",
            codes.interval(COMMON, num_partitions=n),
            gradients=0.0,
            **best,
            **few,
        ),
        _enumerated(
            "least squares, interval, p 1e-4 to 0.9999",
            mixed,
            gradients=0.0,
            **best,
            **many,
        ),
        _enumerated(
            "least squares, interval, to 1 %", mixed, gradients=0.3, **best, **stop
        ),
        _enumerated(
            "least squares, cyclic, p 1e-4", cyclic, gradients=0.0, **best, **many
        ),
        _enumerated(
            "least squares, SGC, one p 0.99999", never, gradients=0.5, **best, **many
        ),
        _enumerated(
            "least squares, no controls", mixed, control_variate=False, **best, **many
        ),
        _enumerated(
            "graph, p 1e-3", ring, decoder=decoders.graph, gradients=0.0, **many
        ),
        _enumerated("graph, p 1e-4 to 0.9999", graph, decoder=decoders.graph, **many),
        _enumerated(
            "graph, p 1e-4 to 0.9999, to 1 %", graph, decoder=decoders.graph, **stop
        ),
        *_best_unbiased(mixed, never, many, stop),
    ]


def _best_unbiased(
    mixed: CodingPlan, never: CodingPlan, many: dict[str, Any], stop: dict[str, Any]
) -> list[Case]:
    found = []
    for name, plan in (("interval, p 1e-4 to 0.9999", mixed), ("SGC", never)):
        best = decoders.best_unbiased(plan, gradients=0.3)
        for end, options in (("", many), (", to 1 %", stop)):
            found.append(
                _enumerated(
                    f"best unbiased, {name}{end}",
                    plan,
                    decoder=best,
                    gradients=0.3,
                    **options,
                )
            )
    return found


def _dependent() -> list[Case]:
    n, found = 8, []
    p = np.array([1e-4, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9])
    quiet = np.full(8, 0.01)
    halves = np.arange(8) // 4
    for name, law in (("mixed p", p), ("p 0.01", quiet)):
        shock = min(0.005, law.min())
        models = {
            "markov": (stragglers.markov(law, mean_burst=10.0), [(1.0, law)]),
            "common factor": (
                stragglers.common_factor(law, correlation=0.5),
                _factor_laws(law, 0.5),
            ),
            "shared shocks": (
                stragglers.shared_shocks(law, groups=halves, shock=shock),
                _shock_laws(law, halves, shock),
            ),
        }
        plans = {
            "fixed": codes.interval(law, num_partitions=n),
            "representative": codes.fractional_repetition(
                law, num_partitions=n, replication=2
            ),
            "least_squares": codes.cyclic_repetition(
                law, num_partitions=n, num_stragglers=1
            ),
            "graph": codes.random_graph(law, num_partitions=n, key=KEY),
            "best_unbiased": codes.interval(law, num_partitions=n),
        }
        for (model, (sampled, laws)), (decoder, plan) in itertools.product(
            models.items(), plans.items()
        ):
            found.append(
                _of_laws(f"{decoder}, {model}, {name}", plan, decoder, sampled, laws)
            )
    return found


def _of_laws(
    name: str,
    plan: CodingPlan,
    decoder: str,
    model: stragglers.StragglerModel,
    laws: list[tuple[float, np.ndarray]],
) -> Case:
    known: dict[str, Any] = {"decoder": getattr(decoders, decoder), "gradients": 1.0}
    if decoder == "best_unbiased":  # of aligned gradients the error is all but 0
        known = {"decoder": known["decoder"](plan, gradients=0.3), "gradients": 0.3}

    def truth() -> float:
        return sum(
            chance * enumerate_masks(plan, p=law, **known).mean for chance, law in laws
        )

    options = {**known, "model": model, "num_trials": 50_000}
    return Case(name, plan, truth, options)


def _shock_laws(
    p: np.ndarray, groups: np.ndarray, shock: float
) -> list[tuple[float, np.ndarray]]:
    """Independent stragglers given which groups a shock hits."""
    alone = 1 - (1 - p) / (1 - shock)
    laws = []
    for hit in itertools.product((False, True), repeat=int(groups.max()) + 1):
        chance = np.prod([shock if h else 1 - shock for h in hit])
        laws.append((float(chance), np.where(np.array(hit)[groups], 1.0, alone)))
    return laws


def _factor_laws(p: np.ndarray, correlation: float) -> list[tuple[float, np.ndarray]]:
    """Independent stragglers given the common factor, at Gauss-Hermite nodes."""
    nodes, weight = np.polynomial.hermite_e.hermegauss(64)
    threshold = -scipy.special.ndtri(p)
    return [
        (
            float(chance),
            scipy.special.ndtr(
                (np.sqrt(correlation) * node - threshold) / np.sqrt(1 - correlation)
            ),
        )
        for node, chance in zip(nodes, weight / weight.sum(), strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args()
    print(describe_machine())
    print(f"{'':<46}{'covered':>8}{'refused':>9}{'bias':>7}{'error':>10}{'trials':>9}")
    for case in cases():
        if arguments.only in case.name:
            row = measure(case, arguments.repeats)
            print(
                f"{row.name:<46}{row.coverage:>8.1%}{row.refused:>9}{row.bias:>7.2f}"
                f"{row.relative:>10.2e}{row.trials:>9}",
                flush=True,
            )


if __name__ == "__main__":
    main()
