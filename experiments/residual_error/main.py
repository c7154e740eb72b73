r"""E‖g − ĝ‖²/‖g‖² of every code: closed form, enumeration and Monte Carlo side by side.

    python -m experiments.residual_error --config=configs/residual_error/table.py \
        --workdir=runs/residual_error

Leaves `results.jsonl`, a case a line with each draw's numbers, `table.md` and
`residual_error.png`. A killed run goes on with the first case that is missing. The
disagreement of a case is the largest over its draws of |Monte Carlo − reference| in
standard errors, where the reference is the closed form or, for decoders that have none,
enumeration.
"""

import json
import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jgc
from experiments.common import conditions, launch
from experiments.common.schemes import MOST_WORKERS_TO_ENUMERATE, SCHEMES, draw_psi
from experiments.residual_error import settings
from experiments.residual_error.report import write_report
from jgc import residual
from jgc._files import read_json_lines, write_json_lines
from jgc.decoders import Decoder
from jgc.residual import ResidualError
from jgc.stragglers import StragglerModel, deadline_probabilities

_LOG = logging.getLogger(__name__)


def main() -> None:
    """The program."""
    launch.experiment(prepare, measure_all)


class Case(NamedTuple):
    """What one line of the results is about."""

    scheme: str
    num_workers: int
    deadline: float | None  # None where p is given
    similarity: float


def list_cases(config: Any) -> list[Case]:
    """Every scheme for every k, τ and ρ."""
    return [
        Case(scheme, num_workers, deadline, similarity)
        for num_workers in config.num_workers
        for deadline in ((None,) if config.p else config.deadlines)
        for similarity in config.similarities
        for scheme in config.schemes
    ]


class Design(NamedTuple):
    """What is measured of one draw of p.

    Attributes:
        plan: for what is believed, of workers that straggle with p.
        decoder: the scheme's, for what is believed.
        model: of the stragglers; None where they are independent.
    """

    plan: jgc.CodingPlan
    decoder: Decoder
    model: StragglerModel | None


def measure(case: Case, config: Any) -> dict[str, Any]:
    """The relative error of each draw by each method; None where one does not apply."""
    designs = [_design(case, config, draw) for draw in range(config.num_draws)]
    rho, scheme = case.similarity, SCHEMES[case.scheme]
    independent = designs[0].model is None
    told_truth = independent and not conditions.is_off(config)

    def relative(results: Iterable[ResidualError]) -> list[float]:
        return [result.relative for result in results]

    exact = enumeration = None
    if scheme.is_fixed:
        exact = relative(
            residual.exact(
                plan,
                gradients=rho,
                covariance=None if model is None else _covariance(model),
            )
            for plan, _, model in designs
        )
    elif scheme.designed is not None and told_truth:
        exact = relative(
            residual.exact(plan, decoder=decoder, gradients=rho)
            for plan, decoder, _ in designs
        )
    if independent and case.num_workers <= MOST_WORKERS_TO_ENUMERATE:
        enumeration = relative(
            residual.enumerate_masks(plan, decoder=decoder, gradients=rho)
            for plan, decoder, _ in designs
        )
    plans = [plan for plan, _, _ in designs]
    sampling: dict[str, Any] = {
        "num_trials": config.num_trials,
        "gradients": rho,
        "progress": False,
    }
    key = jax.random.key(config.seed)
    if independent and scheme.designed is None:
        sampled = residual.monte_carlo(key, plans, decoder=scheme.decoder, **sampling)
    else:  # each draw has a decoder or stragglers of its own
        sampled = [
            residual.monte_carlo(key, plan, decoder=decoder, model=model, **sampling)
            for plan, decoder, model in designs
        ]
    return {
        "case": case._asdict(),
        "title": scheme.title,
        "num_partitions": plans[0].num_partitions,
        "load": float(np.mean([plan.load for plan in plans])),
        "floor": (
            float(np.mean([residual.unbiased_floor(plan) for plan in plans]))
            if told_truth
            else 0.0
        ),
        "exact": exact,
        "enumeration": enumeration,
        "monte_carlo": relative(sampled),
        "standard_error": [error.relative_standard_error for error in sampled],
    }


def _design(case: Case, config: Any, draw: int) -> Design:
    """The draw's plan; all cases with the same k draw the same ψ."""
    k, n = case.num_workers, config.num_partitions or case.num_workers
    own = jax.random.key(config.seed + 1 + draw)
    psi_key, code_key = jax.random.split(own)
    if case.deadline is None:
        p = np.asarray(config.p, np.float64)
    else:
        psi = draw_psi(psi_key, k, config.psi_min, config.psi_max)
        p = deadline_probabilities(psi, deadline=case.deadline)
    scheme = SCHEMES[case.scheme]
    told = conditions.told(config, p, key=jax.random.fold_in(own, 2))
    plan = scheme.design(told, n, code_key)
    decoder = scheme.decoder_for(plan, gradients=case.similarity)
    if scheme.waits_for_all:
        return Design(plan, decoder, None)
    model = conditions.model_of(config, p)
    facing = replace(plan, straggler_probabilities=p)
    return Design(facing, decoder, model if conditions.is_dependent(config) else None)


def _covariance(model: StragglerModel) -> np.ndarray:
    assert model.covariance is not None
    return model.covariance()


def prepare(config: Any, workdir: Path) -> list[Case]:
    """The cases, once every setting is known to be usable.

    Raises:
        ValueError: a setting is not accepted, or a plan is infeasible.
    """
    settings.check(config)
    cases = list_cases(config)
    for case in cases:
        _design(case, config, 0)
    return cases


def measure_all(cases: list[Case], config: Any, workdir: Path) -> None:
    """Measures what the working directory lacks, and reports."""
    path = workdir / "results.jsonl"
    rows = read_json_lines(path)
    write_json_lines(path, rows)  # without a line that a kill cut off
    done = [Case(**row["case"]) for row in rows]
    with path.open("a") as lines:
        for number, case in enumerate(cases, start=1):
            if case in done:
                continue
            _LOG.info("%d/%d %s", number, len(cases), " ".join(map(str, case)))
            rows.append(measure(case, config))
            lines.write(json.dumps(rows[-1]) + "\n")
            lines.flush()
    write_report(rows, workdir)
