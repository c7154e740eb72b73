"""The residual error of each code × decoder, for each load, law of p and ρ."""

from typing import Any

import jax
import numpy as np

import jgc
from experiments.decoding import methods


def measure(config: Any) -> list[dict[str, Any]]:
    """A row for each law, load, code, decoder and ρ: means over draws of p.

    Fixed weights by the closed form; best unbiased and conditional least squares by
    theirs, over all masks; others by enumeration.
    """
    rows = []
    for law in config.laws:
        for load in config.loads:
            for code in config.codes:
                if methods.CODES[code].accepts(load):
                    rows += _of_code(config, law, load, code)
    return rows


def _of_code(config: Any, law: str, load: int, code: str) -> list[dict[str, Any]]:
    k = config.num_workers
    keys = [
        jax.random.split(jax.random.key(config.seed + draw))
        for draw in range(config.num_draws)
    ]
    drawn = [(methods.LAWS[law](k, p_key), code_key) for p_key, code_key in keys]
    plans = [methods.CODES[code].design(p, load, key) for p, key in drawn]
    rows = []
    for decoder in config.decoders:
        errors = []
        for (p, key), plan in zip(drawn, plans, strict=True):
            try:
                errors.append(_errors(config, code, decoder, p, load, key, plan))
            except ValueError:  # such as normalised, of weights that are negative
                break
        if len(errors) < config.num_draws:
            continue
        for rho, values in zip(config.similarities, np.transpose(errors), strict=True):
            rows.append(
                {
                    "law": law,
                    "load": float(np.mean([plan.load for plan in plans])),
                    "nominal_load": load,
                    "code": code,
                    "decoder": decoder,
                    "similarity": rho,
                    "error": float(values.mean()),
                    "floor": float(
                        np.mean([jgc.residual.unbiased_floor(plan) for plan in plans])
                    ),
                }
            )
    return rows


def _errors(
    config: Any,
    code: str,
    decoder: str,
    p: methods.Probabilities,
    load: int,
    key: jax.Array,
    plan: jgc.CodingPlan,
) -> list[float]:
    """E‖g − ĝ‖²/‖g‖² at each ρ."""
    rhos = config.similarities
    if decoder == "fixed":
        fixed = [
            methods.plan_for(code, decoder, p, load, key, gradients=rho) for rho in rhos
        ]
        return [
            jgc.residual.exact(one, gradients=rho).relative
            for one, rho in zip(fixed, rhos, strict=True)
        ]
    made = [methods.DECODERS[decoder](plan, rho) for rho in rhos]
    designs = [design for one in made if (design := getattr(one, "design", None))]
    if designs:
        norms = [jgc.gradients.similar(rho).squared_norm(p.size) for rho in rhos]
        return [
            float(design.error) / norm
            for design, norm in zip(designs, norms, strict=True)
        ]
    c = methods.coefficients_of_all_masks(plan, made[0])
    probability = methods.mask_probabilities(p)
    return [methods.relative_error(c, probability, rho) for rho in rhos]
