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
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jgc
from experiments.common import launch
from experiments.common.schemes import MOST_WORKERS_TO_ENUMERATE, SCHEMES, draw_psi
from experiments.residual_error import settings
from experiments.residual_error.report import write_report
from jgc._files import read_json_lines, write_json_lines

_LOG = logging.getLogger(__name__)


def main() -> None:
    """The program."""
    launch.experiment(prepare, measure_all)


class Case(NamedTuple):
    """What one line of the results is about."""

    scheme: str
    num_workers: int
    deadline: float
    similarity: float


def list_cases(config: Any) -> list[Case]:
    """Every scheme for every k, τ and ρ."""
    return [
        Case(scheme, num_workers, deadline, similarity)
        for num_workers in config.num_workers
        for deadline in config.deadlines
        for similarity in config.similarities
        for scheme in config.schemes
    ]


def measure(case: Case, config: Any) -> dict[str, Any]:
    """The relative error of each draw by each method; None where one does not apply."""
    n, rho = config.num_partitions or case.num_workers, case.similarity
    scheme = SCHEMES[case.scheme]
    plans = [_design(case, config, draw, n) for draw in range(config.num_draws)]
    decoders = [scheme.decoder_for(plan, gradients=rho) for plan in plans]

    def relative(results: list[jgc.residual.ResidualError]) -> list[float]:
        return [result.relative for result in results]

    exact = enumeration = None
    if scheme.is_fixed or scheme.designed is not None:
        exact = relative(
            [
                jgc.residual.exact(plan, decoder=decoder, gradients=rho)
                for plan, decoder in zip(plans, decoders, strict=True)
            ]
        )
    if case.num_workers <= MOST_WORKERS_TO_ENUMERATE:
        enumeration = relative(
            [
                jgc.residual.enumerate_masks(plan, decoder=decoder, gradients=rho)
                for plan, decoder in zip(plans, decoders, strict=True)
            ]
        )

    def sample(
        some: list[jgc.CodingPlan], decoder: jgc.decoders.Decoder
    ) -> list[jgc.residual.ResidualError]:
        return jgc.residual.monte_carlo(
            jax.random.key(config.seed),
            some,
            num_trials=config.num_trials,
            decoder=decoder,
            progress=False,
            gradients=rho,
        )

    if scheme.designed is None:
        sampled = sample(plans, scheme.decoder)
    else:  # each plan has a decoder of its own
        sampled = [
            sample([plan], decoder)[0]
            for plan, decoder in zip(plans, decoders, strict=True)
        ]
    return {
        "case": case._asdict(),
        "title": scheme.title,
        "num_partitions": n,
        "load": float(np.mean([plan.load for plan in plans])),
        "floor": float(np.mean([jgc.residual.unbiased_floor(plan) for plan in plans])),
        "exact": exact,
        "enumeration": enumeration,
        "monte_carlo": relative(sampled),
        "standard_error": [error.relative_standard_error for error in sampled],
    }


def _design(case: Case, config: Any, draw: int, n: int) -> jgc.CodingPlan:
    """The draw's plan; all cases with the same k draw the same ψ."""
    psi_key, code_key = jax.random.split(jax.random.key(config.seed + 1 + draw))
    psi = draw_psi(psi_key, case.num_workers, config.psi_min, config.psi_max)
    p = jgc.stragglers.deadline_probabilities(psi, deadline=case.deadline)
    return SCHEMES[case.scheme].design(p, n, code_key)


def prepare(config: Any, workdir: Path) -> list[Case]:
    """The cases, once every setting is known to be usable.

    Raises:
        ValueError: a setting is not accepted, or a plan is infeasible.
    """
    settings.check(config)
    cases = list_cases(config)
    for case in cases:
        _design(case, config, 0, config.num_partitions or case.num_workers)
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
