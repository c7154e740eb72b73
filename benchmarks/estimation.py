"""How well p is estimated from recorded latencies, and what that is worth.

    JGC_TRACES=folder python -m benchmarks.estimation

For each trace (CSV, NPZ or Parquet) in the folder and each of some deadlines,
estimators see the first half of the rounds and are judged on the second:

1. Mean over workers of |p̂ − second half's straggler rate|, beside the binomial floor:
   what a p̂ equal to each worker's true p would have on as many rounds, for independent
   rounds with p the rate over the whole trace.
2. E‖g − ĝ‖²/‖g‖² of an interval code designed for p̂, under the second half's rates,
   beside that of the code designed for these rates, for equal and orthogonal gradients.
3. The same as an average over the second half's own masks, for a plan fixed after the
   first half and for one that is designed anew on the same placement every 3 rounds, by
   all rounds so far. A plan for the second half's rates, and one that shares nothing,
   are beside them.
"""

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np
import scipy.stats
from jaxtyping import Bool, Float
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from jgc import CodingPlan, codes, decoders, gradients, residual
from jgc.design import redesign
from jgc.stragglers import Trace, estimation, load_trace

# Workers that were late in 5, 20 and 50 % of all answers.
LATE_SHARES = (0.05, 0.2, 0.5)
MEMORY = 10  # rounds that the forgetting and windowed estimators remember

Estimate = Callable[[Trace, float], Float[np.ndarray, " k"]]


def _fitted_prior(seen: Trace, deadline: float) -> estimation.BetaPrior:
    late = (~seen.answered(deadline)).sum(0)
    return estimation.fit_beta_prior(late, rounds=seen.num_rounds)


def _counting(seen: Trace, deadline: float) -> np.ndarray:
    estimator = estimation.counting(seen.num_workers)
    return estimation.estimate(estimator, seen.answered(deadline))


def _counting_fitted(seen: Trace, deadline: float) -> np.ndarray:
    prior = _fitted_prior(seen, deadline)
    estimator = estimation.counting(seen.num_workers, prior=prior)
    return estimation.estimate(estimator, seen.answered(deadline))


def _window(seen: Trace, deadline: float) -> np.ndarray:
    prior = _fitted_prior(seen, deadline)
    estimator = estimation.counting(seen.num_workers, window=MEMORY, prior=prior)
    return estimation.estimate(estimator, seen.answered(deadline))


def _forgetting(seen: Trace, deadline: float) -> np.ndarray:
    prior = _fitted_prior(seen, deadline)
    estimator = estimation.forgetting(seen.num_workers, memory=MEMORY, prior=prior)
    return estimation.estimate(estimator, seen.answered(deadline))


def _shifted_exponential(seen: Trace, deadline: float) -> np.ndarray:
    fit = estimation.fit_shifted_exponential(seen.latencies, deadline=deadline)
    return fit.probabilities(deadline)


def _pooled(seen: Trace, deadline: float) -> np.ndarray:
    return np.full(seen.num_workers, 1 - seen.answered(deadline).mean())


ESTIMATES: dict[str, Estimate] = {
    "counting, Jeffreys": _counting,
    "counting, fitted prior": _counting_fitted,
    f"window {MEMORY}, fitted prior": _window,
    f"forgetting {MEMORY}, fitted prior": _forgetting,
    "shifted exponential": _shifted_exponential,
    "same p for all": _pooled,
}


def binomial_floor(p: Float[np.ndarray, " k"], rounds: int) -> float:
    """Mean over workers of E|late/rounds − p_i|, late binomial."""
    late = np.arange(rounds + 1)[:, None]
    weight = scipy.stats.binom.pmf(late, rounds, p)
    return float((weight * np.abs(late / rounds - p)).sum(0).mean())


def smoothed_rates(masks: Bool[np.ndarray, "T k"]) -> Float[np.ndarray, " k"]:
    """Straggler rates for a code to be designed for: ¼ of a round from 0 and 1.

    A rate of exactly 0 would put all the data on one worker.
    """
    rounds = masks.shape[0]
    return np.clip((~masks).mean(0), 0.25 / rounds, 1 - 0.25 / rounds)


def relative_errors(
    plan: CodingPlan, p: Float[np.ndarray, " k"]
) -> tuple[float, float]:
    """E‖g − ĝ‖²/‖g‖² under p for equal and for orthogonal gradients; bias counts."""
    under = dataclasses.replace(plan, straggler_probabilities=p)
    bounds = residual.bounds(under)
    n = plan.num_partitions
    return bounds.aligned / n**2, bounds.orthogonal / n


def realised_errors(
    plans: list[CodingPlan], masks: Bool[np.ndarray, "T k"]
) -> tuple[float, float]:
    """‖g − ĝ‖²/‖g‖², averaged over rounds with a plan and a mask each."""
    n = plans[0].num_partitions
    c = np.array(
        [_coefficients(plan, mask) for plan, mask in zip(plans, masks, strict=True)]
    )
    equal = ((c.sum(1) - n) ** 2).mean() / n**2
    return float(equal), float(((c - 1) ** 2).sum(1).mean() / n)


@jax.jit
def _coefficients(plan: CodingPlan, mask: Bool[np.ndarray, " k"]) -> jax.Array:
    return decoders.fixed.coefficients(plan, mask)


def adaptive_plans(
    first: Trace,
    second: Trace,
    deadline: float,
    placed: CodingPlan,
    *,
    every: int,
    related: gradients.GradientsLike,
) -> Iterator[CodingPlan]:
    """The plan for each round of `second`, anew from all rounds before it."""
    prior = _fitted_prior(first, deadline)
    estimator = estimation.counting(first.num_workers, prior=prior)
    update = jax.jit(estimator.update)
    state = estimator.init()
    for mask in first.answered(deadline):
        state = update(state, mask)
    plan = placed
    for t, mask in enumerate(second.answered(deadline)):
        if t and t % every == 0:
            p = np.asarray(estimator.probabilities(state), np.float64)
            plan = redesign(plan, p, tolerance=0.05, gradients=related)
        yield plan
        state = update(state, mask)


def report(path: Path, console: Console) -> None:
    """Prints the tables of one trace."""
    recorded = load_trace(path)
    half = recorded.num_rounds // 2
    first = recorded.rounds(0, half)
    second = recorded.rounds(half, recorded.num_rounds)
    calibration = Table(
        "late", "deadline, s", "estimator", "mean |error|", "floor", "bias",
        "equal", "if known", "orthogonal", "if known",
        title=f"{path.name}: {half} + {second.num_rounds} rounds, k = n = "
        f"{recorded.num_workers}",
    )  # fmt: skip
    adaptation = Table(
        "late", "deadline, s", "plan", "equal", "orthogonal", "designs",
        title=f"{path.name}: errors on the second half's masks",
    )  # fmt: skip
    for share in LATE_SHARES:
        deadline = float(np.quantile(recorded.latencies, 1 - share))
        masks = second.answered(deadline)
        rate = (~masks).mean(0)
        true = smoothed_rates(masks)
        n = recorded.num_workers
        known = relative_errors(codes.interval(true, num_partitions=n), true)
        floor = binomial_floor((~recorded.answered(deadline)).mean(0), len(masks))
        for name, estimate in ESTIMATES.items():
            p = estimate(first, deadline)
            found = relative_errors(codes.interval(p, num_partitions=n), true)
            calibration.add_row(
                f"{share:.0%}", f"{deadline:.3f}", name,
                f"{np.abs(p - rate).mean():.4f}", f"{floor:.4f}",
                f"{(p - rate).mean():+.4f}",
                f"{found[0]:.3g}", f"{known[0]:.3g}",
                f"{found[1]:.3g}", f"{known[1]:.3g}",
            )  # fmt: skip
        start = codes.interval(_counting_fitted(first, deadline), num_partitions=n)
        p = np.asarray(start.straggler_probabilities)
        sequences = {}
        for common in (1.0, 0.5):
            # The same placement and estimate, at its best for such gradients.
            fixed = redesign(start, p, tolerance=0, gradients=gradients.common(common))
            sequences[f"fixed, common part {common:g}"] = [fixed] * len(masks)
            sequences[f"adaptive, common part {common:g}"] = list(
                adaptive_plans(
                    first,
                    second,
                    deadline,
                    fixed,
                    every=3,
                    related=gradients.common(common),
                )
            )
        sequences["second half's rates"] = [codes.interval(true, num_partitions=n)]
        sequences["nothing shared"] = [codes.uncoded(p, num_partitions=n)]
        for name, plans in sequences.items():
            designs = len({id(plan) for plan in plans})
            if len(plans) == 1:
                plans = plans * len(masks)
            equal, orthogonal = realised_errors(plans, masks)
            adaptation.add_row(
                f"{share:.0%}", f"{deadline:.3f}", name,
                f"{equal:.4g}", f"{orthogonal:.4g}", str(designs),
            )  # fmt: skip
    console.print(calibration)
    console.print(adaptation)


def main() -> None:
    """Measures every trace in the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--traces", default=os.environ.get("JGC_TRACES"), type=Path)
    options = parser.parse_args()
    if options.traces is None:
        parser.error("name a folder of traces by --traces or JGC_TRACES")
    endings = {".csv", ".npz", ".parquet"}
    paths = sorted(p for p in options.traces.glob("*") if p.suffix.lower() in endings)
    if not paths:
        parser.error(f"{options.traces} holds no file that ends in {sorted(endings)}")
    console = Console(width=140)
    console.print(describe_machine())
    for path in paths:
        report(path, console)


if __name__ == "__main__":
    main()
