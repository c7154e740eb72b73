"""Training with each decoder at equal load, each at its own best step size.

Any decoder is a table of coefficients, a row a mask, so that one compiled scan serves
them all: it is vmapped over seeds and step sizes, and takes the table as data. All
methods of a seed meet the same masks.
"""

import logging
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import jgc
from experiments.common import conditions
from experiments.decoding import methods
from experiments.decoding.problems import PROBLEMS, Problem
from jgc.decoders import Decoder

_LOG = logging.getLogger(__name__)


class Method(NamedTuple):
    """A code at a load with a decoder."""

    load: int
    code: str
    decoder: str


def list_methods(config: Any) -> list[Method]:
    """Every one of the codes at every load that it has, with every decoder."""
    return [
        Method(load, code, decoder)
        for load in config.training.loads
        for code in config.training.codes
        if methods.CODES[code].accepts(load)
        for decoder in config.decoders
    ]


class Design(NamedTuple):
    """What a method is for one law of p."""

    method: Method
    plan: jgc.CodingPlan
    decoder: Decoder


class Law(NamedTuple):
    """One draw of p by a law, and all methods for it."""

    p: methods.Probabilities
    designs: list[Design]


def prepare(config: Any) -> dict[str, Law]:
    """Every method for every law, so that what has no plan stops before any work.

    Raises:
        ValueError: a code or decoder does not exist for this k, load and p; names it.
    """
    p_key, code_key = jax.random.split(jax.random.key(config.seed))
    laws = {}
    for law in config.training.laws:
        p = methods.LAWS[law](config.num_workers, p_key)
        told = conditions.told(config, p, key=jax.random.fold_in(p_key, 2))
        designs = [_design(law, one, told, code_key) for one in list_methods(config)]
        laws[law] = Law(p, designs)
    return laws


def _design(
    law: str, method: Method, told: methods.Probabilities, key: Array
) -> Design:
    code, name = method.code, method.decoder
    try:
        plan = methods.plan_for(code, name, told, method.load, key)
        decoder = methods.DECODERS[name](plan, methods.HALF_COMMON)
        decoder.check(plan)
    except ValueError as error:
        raise ValueError(
            f"config.training: {code} with {name} at load {method.load} and {law} "
            f"does not exist: {error}"
        ) from error
    return Design(method, plan, decoder)


def measure(config: Any, laws: dict[str, Law]) -> list[dict[str, Any]]:
    """A row for each problem, diversity, law of `prepare` and method."""
    rows = []
    for name in config.training.problems:
        for diversity in config.training.diversities:
            problem = PROBLEMS[name](config, diversity)
            run = jax.jit(partial(_gaps, problem, config.training.num_iterations))
            for law, drawn in laws.items():
                _LOG.info("%s, diversity %g, %s", name, diversity, law)
                rows += [
                    {"problem": name, "diversity": diversity, "law": law, **row}
                    for row in _of_law(config, problem, run, drawn)
                ]
    return rows


def step_sizes(config: Any, problem: Problem) -> Float[np.ndarray, " steps"]:
    """Halves down from the largest, in units of 1/smoothness."""
    halves = 0.5 ** np.arange(config.training.num_steps)
    return config.training.largest_step / problem.smoothness * halves


def _of_law(config: Any, problem: Problem, run: Any, law: Law) -> list[dict[str, Any]]:
    training = config.training
    log_probability = jnp.log(jnp.maximum(methods.mask_probabilities(law.p), 1e-30))
    steps = step_sizes(config, problem)
    num_seeds = training.num_tuning_seeds + training.num_seeds
    keys = jax.random.split(jax.random.key(config.seed + 1), num_seeds)
    rows = []
    for method, plan, decoder in law.designs:
        table = methods.coefficients_of_all_masks(plan, decoder).T
        gaps = np.asarray(
            run(jnp.asarray(table, jnp.float32), log_probability, steps, keys),
            np.float64,
        )
        rows.append(
            {**method._asdict(), "real_load": plan.load, **_tuned(gaps, steps, config)}
        )
    return rows


def _tuned(
    gaps: Float[np.ndarray, "steps seeds"], steps: np.ndarray, config: Any
) -> dict[str, Any]:
    """The gap at the step that was best for other seeds."""
    gaps = np.where(np.isfinite(gaps), gaps, np.inf)
    num_tuning = config.training.num_tuning_seeds
    best = int(gaps[:, :num_tuning].mean(axis=1).argmin())
    final = gaps[best, num_tuning:]
    spread = final.std(ddof=1) if np.isfinite(final).all() else np.inf
    return {
        "step_size": float(steps[best]),
        # Then a step off the grid might be better.
        "at_edge": best in (0, steps.size - 1),
        "gap": float(final.mean()),
        "standard_error": float(spread / np.sqrt(final.size)),
        "gaps": final.tolist(),
    }


def _gaps(
    problem: Problem,
    num_iterations: int,
    table: Float[Array, "masks n"],
    log_probability: Float[Array, " masks"],
    steps: Float[Array, " steps"],
    keys: Array,
) -> Float[Array, "steps seeds"]:
    """The loss over its minimum: the mean of the last tenth of the iterations."""
    last = max(1, num_iterations // 10)

    def run(step: Array, masks: Array) -> Array:
        def iterate(params: Array, mask: Array) -> tuple[Array, Array]:
            c = table[mask]
            gradient = jax.grad(lambda x: (c * problem.losses(x)).mean())(params)
            params = params - step * gradient
            return params, params

        params, _ = jax.lax.scan(
            lambda x, mask: (iterate(x, mask)[0], None),
            jnp.asarray(problem.params),
            masks[:-last],
        )
        _, path = jax.lax.scan(iterate, params, masks[-last:])
        return jax.vmap(problem.losses)(path).mean() - problem.minimum

    masks = jax.vmap(
        lambda key: jax.random.categorical(
            key, log_probability, shape=(num_iterations,)
        )
    )(keys)
    return jax.vmap(lambda step: jax.vmap(partial(run, step))(masks))(steps)
