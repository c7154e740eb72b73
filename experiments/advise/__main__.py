"""What plan to train with, from recorded latencies, and why.

    python -m experiments.advise --trace=latencies.csv

Chooses a deadline, estimates p at it, tests the assumptions and picks the number of
partitions and of layers that a worker's capacity allows. Prints all of it; leaves in
`--workdir` the plan (`plan.npz`), the numbers (`advice.json`) and two pictures
(`deadline.png`, `trace.png`). Training loads the plan with
`--config.plan_file=runs/advise/plan.npz`.
"""

import functools
import math
import runpy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags
from jaxtyping import Float
from ml_collections import ConfigDict, config_flags

from experiments.advise.report import write_report
from experiments.common import launch
from experiments.common.checks import require, require_counts
from jgc import CodingPlan, residual
from jgc.design import (
    Advice,
    DeadlineCurve,
    advise,
    best_deadline,
    deadline_curve,
    save_plan,
    trace_survival,
)
from jgc.stragglers import Trace, estimation, load_trace, replay

_DEFAULT_CONFIG = Path(__file__).parents[2] / "configs" / "advise" / "trace.py"

# Deadlines that are compared when a plan is designed for each.
_CANDIDATES = 96

# Quantiles of the latencies that the curve is shown at.
_SHOWN = np.linspace(0, 1, 41)


def default_config() -> ConfigDict:
    """The settings in `configs/advise/trace.py`."""
    return runpy.run_path(str(_DEFAULT_CONFIG))["get_config"]()


class Findings(NamedTuple):
    """All that the adviser found, from the trace to the plan.

    Attributes:
        recorded: the trace.
        deadline: τ in seconds.
        is_chosen: whether the adviser chose it.
        by_theorem: the deadline that Theorem 2 alone would have.
        curve: what some deadlines cost, with the plans that they would be met with.
        prior: of p at the deadline.
        p: estimates (k,), posterior means.
        interval: the lower and upper ends of an interval of each worker's p, from its
            own rounds; 0 and 1 where they are too few to tell.
        effective_rounds: independent rounds that would say as much; 0: too few.
        tests: of the assumptions, by what they test; None where it cannot be tested.
        capacity: share of the data that a worker may hold.
        advice: the plan and what it was compared with.
        correlated: E‖g − ĝ‖²/‖g‖² of the plan for equal and for orthogonal gradients,
            if workers straggle together as much as they did in the trace.
    """

    recorded: Trace
    deadline: float
    is_chosen: bool
    by_theorem: float
    curve: DeadlineCurve
    prior: estimation.BetaPrior
    p: Float[np.ndarray, " k"]
    interval: tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]
    effective_rounds: float
    tests: dict[str, estimation.FitTest | None]
    capacity: float
    advice: Advice
    correlated: tuple[float, float]


def find(recorded: Trace, config: Any) -> Findings:
    """Deadline, estimates, tests and plan.

    Raises:
        ValueError: no worker answers by the deadline, or ever; or the capacity is too
            little.
    """
    capacity = config.capacity or min(1.0, 2 / recorded.num_workers)
    advice_at = functools.partial(
        advise,
        capacity=capacity,
        num_partitions=tuple(config.num_partitions),
        common_part=config.common_part,
    )

    def error(p: Float[np.ndarray, " k"]) -> float:
        return advice_at(p).chosen.error(config.common_part)

    cost: dict[str, Any] = {"overhead": config.overhead, "error": error}
    by_theorem = best_deadline(recorded, overhead=config.overhead)
    is_chosen = config.deadline == 0
    deadline = (
        best_deadline(recorded, candidates=_CANDIDATES, **cost)
        if is_chosen
        else config.deadline
    )
    masks = recorded.answered(deadline)
    if not masks.any():
        raise ValueError(
            f"config.deadline = {deadline:g}: no worker ever answered by then; the "
            f"first answer took {recorded.latencies.min():g} s"
        )
    late, rounds = (~masks).sum(0), recorded.num_rounds
    prior = (
        estimation.fit_beta_prior(late, rounds=rounds)
        if config.prior == "fitted"
        else estimation.JEFFREYS
    )
    p = trace_survival(recorded, prior=prior)(deadline)
    advice = advice_at(p)
    shown = np.quantile(recorded.latencies, _SHOWN, method="lower").astype(np.float64)
    shown = shown[np.isfinite(shown) & (shown > 0)]
    return Findings(
        recorded=recorded,
        deadline=deadline,
        is_chosen=is_chosen,
        by_theorem=by_theorem,
        curve=deadline_curve(trace_survival(recorded), [*shown, deadline], **cost),
        prior=prior,
        p=p,
        interval=estimation.record_interval(masks, level=config.level),
        effective_rounds=estimation.effective_rounds(masks),
        tests=_tests(recorded, deadline, config),
        capacity=capacity,
        advice=advice,
        correlated=_correlated_errors(advice.chosen.plan, recorded, deadline),
    )


def _correlated_errors(
    plan: CodingPlan, recorded: Trace, deadline: float
) -> tuple[float, float]:
    """With the trace's correlations, at the variances that the plan's p have."""
    covariance = replay(recorded).covariance(deadline)
    seen = np.sqrt(np.diag(covariance))
    p = np.asarray(plan.straggler_probabilities)
    scale = np.divide(np.sqrt(p * (1 - p)), seen, out=np.zeros(p.size), where=seen > 0)
    covariance *= np.outer(scale, scale)
    np.fill_diagonal(covariance, p * (1 - p))
    equal = residual.exact(plan, gradients=1.0, covariance=covariance)
    orthogonal = residual.exact(plan, gradients=0.0, covariance=covariance)
    return equal.relative, orthogonal.relative


def _tests(
    recorded: Trace, deadline: float, config: Any
) -> dict[str, estimation.FitTest | None]:
    many = {"permutations": config.permutations, "seed": config.seed}
    tests: dict[str, estimation.FitTest | None] = dict.fromkeys(
        ("independent workers", "independent rounds", "shifted-exponential latencies")
    )
    if recorded.num_rounds > 1:
        masks = recorded.answered(deadline)
        tests["independent workers"] = estimation.check_independence(masks, **many)
        tests["independent rounds"] = estimation.check_bursts(masks, **many)
        answered = np.where(masks, recorded.latencies, np.nan)
        different = np.nanmax(answered, 0, initial=0) > np.nanmin(
            answered, 0, initial=np.inf
        )
        if different.any():
            tests["shifted-exponential latencies"] = (
                estimation.check_shifted_exponential(
                    recorded.latencies, deadline=deadline, seed=config.seed
                )
            )
    return tests


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    for key in ("deadline", "overhead"):
        require(
            config,
            key,
            lambda value: 0 <= value < math.inf,
            "at least 0, in seconds",
        )
    for key in ("capacity", "common_part"):
        require(config, key, lambda value: 0 <= value <= 1, "from 0 to 1")
    require(config, "prior", {"fitted", "jeffreys"}.__contains__, "fitted, jeffreys")
    require(
        config,
        "num_partitions",
        lambda sizes: all(n >= 1 for n in sizes),
        "numbers of at least 1",
    )
    require(config, "level", lambda value: 0 < value < 1, "between 0 and 1")
    require_counts(config, "permutations")


def main() -> None:
    """Advises on the trace, and writes the plan."""
    config, workdir = flags.FLAGS.config, Path(flags.FLAGS.workdir)
    try:
        check(config)
        recorded = load_trace(flags.FLAGS.trace, missing_is_late=config.missing_is_late)
        findings = find(recorded, config)
        workdir.mkdir(parents=True, exist_ok=True)
        save_plan(findings.advice.chosen.plan, workdir / "plan.npz")
        write_report(findings, config, workdir)
    except (ValueError, OSError, ImportError) as error:
        raise launch.InputError(error) from error


if __name__ == "__main__":
    flags.DEFINE_string("trace", None, "recorded latencies", required=True)
    flags.DEFINE_string("workdir", "runs/advise", "where the plan goes")
    config_flags.DEFINE_config_file("config", lock_config=True)
    launch.run(main, default_config=_DEFAULT_CONFIG)
