"""Measured convergence under the bounds of Theorems 2, 3 and 4, and of others.

    python -m experiments.convergence --config=configs/convergence/theorems.py \
        --workdir=runs/convergence

Leaves in the working directory: `convergence.json`, all measured curves and bounds;
`convergence.md`, the table; a picture for each deadline. Ends with an error if a
measured curve is above its bound by more than chance allows.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jgc
from experiments.common import launch
from experiments.convergence import report, settings
from experiments.convergence.curves import DISTANCE, LOSSES, measure
from experiments.convergence.problem import KnownProblem
from experiments.convergence.studies import TITLES, Study, make_plans, make_study
from jgc import theory
from jgc._files import write_atomically

_LOG = logging.getLogger(__name__)
_POINTS = 120  # of a curve, that the data keep

# A mean of so many standard errors above a bound (and of so much rounding in float32)
# is not chance: where a bound is sharp the mean lies on it.
_ERRORS = 5
_ROUNDING = 1e-4


def main() -> None:
    """The program."""
    launch.experiment(prepare, measure_all, how_to_go_on="the same command starts anew")


def prepare(config: Any, workdir: Path) -> dict[float, list[jgc.CodingPlan]]:
    """The plans against each deadline.

    Raises:
        ValueError: a setting is not accepted, or a plan is infeasible.
    """
    settings.check(config)
    return {tau: make_plans(config, tau) for tau in config.deadlines}


def measure_all(
    plans: dict[float, list[jgc.CodingPlan]], config: Any, workdir: Path
) -> None:
    """Measures what the config lists, then writes the report."""
    curves = []
    for name in config.studies:
        study = make_study(name, config)
        for deadline in config.deadlines:
            _LOG.info("%s, deadline %g", name, deadline)
            curves += run_study(name, study, plans[deadline], deadline, config)
    data = {"config": json.loads(config.to_json()), "curves": curves}
    write_atomically(workdir / report.DATA, json.dumps(data) + "\n")
    report.write_report(workdir)
    exceeded = [curve for curve in curves if curve["exceeds_bound"]]
    if exceeded:
        names = sorted({f"{c['study']}: {c['title']}" for c in exceeded})
        sys.exit(f"error: above the bound: {', '.join(names)}")


def run_study(
    name: str,
    study: Study,
    plans: list[jgc.CodingPlan],
    deadline: float,
    config: Any,
) -> list[dict[str, Any]]:
    """One record a scheme, ready for JSON."""
    curves = measure(
        study.problem,
        plans,
        study.step_sizes,
        what=study.what,
        average_weights=_or_ones(study.average_weights, study.step_sizes.size),
        num_seeds=config.num_seeds,
        seed=config.seed,
    )
    num_iterations = study.step_sizes.size
    kept = np.unique(np.geomspace(1, num_iterations, _POINTS).astype(int)) - 1
    records = []
    for scheme, plan, mean, error in zip(
        config.schemes, plans, curves.mean, curves.standard_error, strict=True
    ):
        b, factor = _squared_gradient(study, plan)
        bounds = {} if b is None else {study.theorem: study.bound(b)}
        if b is not None and study.sharper is not None:
            name_of_sharper, sharper = study.sharper
            bounds[name_of_sharper] = sharper(b)
        records.append(
            {
                "study": name,
                "problem": study.problem.name,
                "theorem": study.theorem,
                "deadline": deadline,
                "scheme": scheme,
                "title": TITLES[scheme],
                # B/(C n²), 1 + 1/D for codes of optimal structure.
                "factor": factor,
                "what": study.what,
                "largest_ratio": max(
                    (float((mean / bound).max()) for bound in bounds.values()),
                    default=None,
                ),
                "exceeds_bound": any(
                    bool((mean - _ERRORS * error > (1 + _ROUNDING) * bound).any())
                    for bound in bounds.values()
                ),
                "limit": _limit(study, plan),
                "iterates": (kept + 1).tolist(),
                "mean": mean[kept].tolist(),
                "standard_error": error[kept].tolist(),
                # The theorem's first, and sharper ones after it.
                "bounds": {
                    label: bound[kept].tolist() for label, bound in bounds.items()
                },
            }
        )
    return records


def _or_ones(weights: np.ndarray | None, size: int) -> np.ndarray:
    return np.ones(size) if weights is None else weights


def _squared_gradient(
    study: Study, plan: jgc.CodingPlan
) -> tuple[float, float] | tuple[None, None]:
    """B and B/(C n²); None for a biased code, of which no theorem speaks."""
    if not _is_unbiased(plan):
        return None, None
    c = study.problem.squared_norm
    b = theory.squared_gradient_bound(plan, squared_norm=c)
    return b, b / (c * plan.num_partitions**2)


def _is_unbiased(plan: jgc.CodingPlan) -> bool:
    return bool(np.abs(jgc.residual.bias(plan)).max() < 1e-6)


def _limit(study: Study, plan: jgc.CodingPlan) -> float | None:
    """Where a biased code settles: at the minimiser of Σ_j E[c_j] L(D_j)."""
    problem: KnownProblem = study.problem
    if _is_unbiased(plan) or problem.solve is None:
        return None
    beta = problem.solve(1 + jgc.residual.bias(plan))
    if study.what == DISTANCE:
        return float(((beta - problem.minimiser) ** 2).sum())
    if study.what not in LOSSES:
        return None
    losses = problem.loss(jnp.asarray(beta, float), problem.examples)
    return max(0.0, float(np.asarray(losses, np.float64).mean()) - problem.minimum)
