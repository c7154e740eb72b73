"""The residual error of each code × decoder, for each load, law of p and ρ."""

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

import jgc
from experiments.common import conditions
from experiments.decoding import methods


def measure(config: Any) -> list[dict[str, Any]]:
    """A row for each law, load, code, decoder and ρ: means over draws of p.

    Fixed weights by the closed form; best unbiased and conditional least squares by
    theirs, over all masks; others by enumeration. A combination that does not exist,
    such as normalised weights that are negative, has one row without ρ and error, which
    says why (`left_out`).
    """
    rows = []
    for law in config.laws:
        for load in config.loads:
            for code in config.codes:
                if methods.CODES[code].accepts(load):
                    rows += _of_code(config, law, load, code)
    return rows


class Draw(NamedTuple):
    """One draw of p: the truth, what the code is told of it, and a key for the code."""

    p: methods.Probabilities
    told: methods.Probabilities
    key: Array


def _draw(config: Any, law: str, number: int) -> Draw:
    own = jax.random.key(config.seed + number)
    p_key, code_key = jax.random.split(own)
    p = methods.LAWS[law](config.num_workers, p_key)
    told = conditions.told(config, p, key=jax.random.fold_in(own, 2))
    return Draw(p, told, code_key)


def _of_code(config: Any, law: str, load: int, code: str) -> list[dict[str, Any]]:
    draws = [_draw(config, law, number) for number in range(config.num_draws)]
    own = {"law": law, "nominal_load": load, "code": code}
    try:
        plans = [methods.CODES[code].design(one.told, load, one.key) for one in draws]
    except ValueError as error:  # such as a block design of this many workers
        return [_left_out(**own, decoder="every", why=error)]
    rows = []
    for decoder in config.decoders:
        try:
            errors = [
                _errors(config, code, decoder, load, draw, plan)
                for draw, plan in zip(draws, plans, strict=True)
            ]
        except ValueError as error:
            rows.append(_left_out(**own, decoder=decoder, why=error))
            continue
        for rho, values in zip(config.similarities, np.transpose(errors), strict=True):
            rows.append(
                {
                    **own,
                    "load": float(np.mean([plan.load for plan in plans])),
                    "decoder": decoder,
                    "similarity": rho,
                    "error": float(values.mean()),
                    # Of unbiased estimates, which a code told a wrong p has not.
                    "floor": float(
                        np.mean(
                            [
                                jgc.residual.unbiased_floor(plan, p=draw.p)
                                for plan, draw in zip(plans, draws, strict=True)
                            ]
                        )
                    ),
                    "left_out": "",
                }
            )
    return rows


def _left_out(*, decoder: str, why: ValueError, **own: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("load", "similarity", "error", "floor"))
    return {**own, **nothing, "decoder": decoder, "left_out": str(why)}


def _errors(
    config: Any, code: str, decoder: str, load: int, draw: Draw, plan: jgc.CodingPlan
) -> list[float]:
    """E‖g − ĝ‖²/‖g‖² at each ρ."""
    rhos = config.similarities
    if decoder == "fixed":
        fixed = [
            methods.plan_for(code, decoder, draw.told, load, draw.key, gradients=rho)
            for rho in rhos
        ]
        return [
            jgc.residual.exact(
                replace(one, straggler_probabilities=draw.p), gradients=rho
            ).relative
            for one, rho in zip(fixed, rhos, strict=True)
        ]
    made = [methods.DECODERS[decoder](plan, rho) for rho in rhos]
    designs = [design for one in made if (design := getattr(one, "design", None))]
    if designs and not conditions.is_off(config):
        norms = [jgc.gradients.similar(rho).squared_norm(draw.p.size) for rho in rhos]
        return [
            float(design.error) / norm
            for design, norm in zip(designs, norms, strict=True)
        ]
    # One table of coefficients for all ρ where the decoder does not depend on it.
    tables = [
        methods.coefficients_of_all_masks(plan, one)
        for one in (made if designs else made[:1])
    ]
    probability = methods.mask_probabilities(draw.p)
    return [
        methods.relative_error(tables[i % len(tables)], probability, rho)
        for i, rho in enumerate(rhos)
    ]
