"""A study: a theorem against a problem, the step sizes, what is measured, the bound.

A new study is one function and one row of `STUDIES`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import jgc
from experiments.common import conditions
from experiments.common.schemes import SCHEMES, draw_psi
from experiments.convergence import problems
from experiments.convergence.curves import AVERAGE, DISTANCE, GRADIENT, LAST, MEAN
from experiments.convergence.problem import KnownProblem
from jgc import theory

Steps = Float[np.ndarray, " T"]


@dataclass(frozen=True)
class Study:
    """What a theorem says of a problem.

    Attributes:
        theorem: in print.
        problem: with constants.
        step_sizes: γ_1 … γ_T.
        what: is measured, of `experiments.convergence.curves`.
        bound: from B of a plan to the bound at β_1 … β_T.
        sharper: the same for a sharper form of the theorem, under its name.
        average_weights: of iterates, where averages are measured; None: all alike.
    """

    theorem: str
    problem: KnownProblem
    step_sizes: Steps
    what: str
    bound: Callable[[float], Steps]
    sharper: tuple[str, Callable[[float], Steps]] | None = None
    average_weights: Steps | None = None


def _theorem_2(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    return Study(
        theorem="Theorem 2 (30), γ = 1/(λt)",
        problem=problem,
        step_sizes=1 / (problem.strong_convexity * t),
        what=DISTANCE,
        bound=lambda b: theory.theorem_2(
            t, squared_gradient=b, strong_convexity=problem.strong_convexity
        ),
    )


def _theorem_2_loss(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    return replace(
        _theorem_2(problem, num_iterations, n),
        theorem="Theorem 2 times μ/2, γ = 1/(λt)",
        what=LAST,
        bound=lambda b: theory.strongly_convex_gap(
            t,
            squared_gradient=b,
            strong_convexity=problem.strong_convexity,
            smoothness=problem.smoothness,
        ),
    )


def _theorem_3_constant(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    """(31) speaks of the last iterate of these steps, and (75) of those before it."""
    steps = np.full(num_iterations, num_iterations**-0.5)
    loss = {"smoothness": problem.smoothness, "initial_gap": _initial_gap(problem)}

    def bound(b: float) -> Steps:
        values = theory.non_convex_gradient(steps, squared_gradient=b, **loss)
        last = num_iterations - 1  # T of (31), whose iterates are β_0 … β_T
        values[last:] = theory.theorem_3_constant_steps(
            [last], squared_gradient=b, **loss
        )
        return values

    return Study(
        theorem="Theorem 3 (31), γ = 1/(T+1)^½",
        problem=problem,
        step_sizes=steps,
        what=GRADIENT,
        bound=bound,
    )


def _theorem_3_falling(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    last = np.arange(num_iterations)  # T of (33), each of its own
    loss = {"smoothness": problem.smoothness, "initial_gap": _initial_gap(problem)}
    return Study(
        theorem="Theorem 3 (33), γ = 1/(t+1)^½",
        problem=problem,
        step_sizes=(last + 1.0) ** -0.5,
        what=GRADIENT,
        bound=lambda b: theory.theorem_3_falling_steps(
            last, squared_gradient=b, **loss
        ),
    )


def _theorem_4(
    problem: KnownProblem, num_iterations: int, n: int, *, falling: bool
) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    lam = problem.strong_convexity
    steps = 1 / (lam * t) if falling else np.full(num_iterations, 0.05 / lam)
    known = {
        "strong_convexity": lam,
        "initial_distance": _squared_distance(problem),
    }
    return Study(
        theorem=f"Theorem 4 (35), {'γ = 1/(λt)' if falling else 'constant γ'}",
        problem=problem,
        step_sizes=steps,
        what=DISTANCE,
        bound=lambda b: theory.theorem_4(steps[:-1], squared_gradient=b, **known),
        sharper=(
            "1 − 2γλ for 1 − γλ",
            lambda b: theory.strongly_convex_distance(
                steps[:-1], squared_gradient=b, **known
            ),
        ),
    )


def _best_constant_step(
    problem: KnownProblem, num_iterations: int, n: int
) -> Float[np.ndarray, " T"]:
    """Of `theory.convex_gap`, for gradient descent's B."""
    distance = _squared_distance(problem)
    best = np.sqrt(distance / (problem.squared_norm * n**2 * num_iterations))
    return np.full(num_iterations, best)


def _convex(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    steps = _best_constant_step(problem, num_iterations, n)
    return Study(
        theorem="convex losses, constant γ, averaged",
        problem=problem,
        step_sizes=steps,
        what=AVERAGE,
        average_weights=steps,
        bound=lambda b: theory.convex_gap(
            steps, squared_gradient=b, initial_distance=_squared_distance(problem)
        ),
    )


def _convex_mean(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    # What the proof bounds before the convexity of L is used: no less than L(β̄).
    return replace(
        _convex(problem, num_iterations, n),
        theorem="convex losses, constant γ, mean of L(β_t)",
        what=MEAN,
    )


def _non_smooth_last(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    return Study(
        theorem="[22] of C.4.3, γ = 1/(λt)",
        problem=problem,
        step_sizes=1 / (problem.strong_convexity * t),
        what=LAST,
        bound=lambda b: theory.non_smooth_gap(
            t, squared_gradient=b, strong_convexity=problem.strong_convexity
        ),
    )


def _non_smooth_average(problem: KnownProblem, num_iterations: int, n: int) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    return Study(
        theorem="kinks, γ = 2/(λ(t + 1)), averaged",
        problem=problem,
        step_sizes=2 / (problem.strong_convexity * (t + 1)),
        what=AVERAGE,
        average_weights=t,
        bound=lambda b: theory.non_smooth_average_gap(
            t, squared_gradient=b, strong_convexity=problem.strong_convexity
        ),
    )


# A problem and the theorem it is held against.
STUDIES: dict[str, tuple[str, Callable[[KnownProblem, int, int], Study]]] = {
    "ridge": ("ridge", _theorem_2),
    "ridge_constant": ("ridge", partial(_theorem_4, falling=False)),
    "ridge_falling": ("ridge", partial(_theorem_4, falling=True)),
    "logistic": ("logistic", _theorem_2_loss),
    "logistic_averaged": ("logistic", _convex),
    "hinge": ("hinge", _non_smooth_last),
    "hinge_averaged": ("hinge", _non_smooth_average),
    "aligned": ("aligned", _convex_mean),
    "sigmoid": ("sigmoid", _theorem_3_constant),
    "sigmoid_falling": ("sigmoid", _theorem_3_falling),
}


def make_study(name: str, config: Any) -> Study:
    """The study of `STUDIES` at the config's sizes."""
    problem_name, study = STUDIES[name]
    sizes: dict[str, Any] = {
        "num_examples": config.num_examples,
        "dimension": config.dimension,
        "num_partitions": config.num_partitions,
    }
    if problem_name not in ("aligned", "sigmoid"):
        sizes["regularizer"] = config.regularizer
    problem = getattr(problems, problem_name)(**sizes)
    return study(problem, config.num_iterations, config.num_partitions)


def _stochastic(p: Float[np.ndarray, " k"], config: Any) -> jgc.CodingPlan:
    return jgc.codes.stochastic(
        p,
        num_partitions=config.num_partitions,
        key=jax.random.key(config.seed),
        replication=config.replication,
    )


def _rescaled(p: Float[np.ndarray, " k"], config: Any) -> jgc.CodingPlan:
    """`uncoded` divided by the share of gradients that it expects: E Σ_j c_j = n."""
    n = config.num_partitions
    plan = jgc.codes.uncoded(p, num_partitions=n)
    expected = (1 - p) @ plan.batch_sizes
    weights = np.full(p.size, n / expected)
    return replace(plan, weights=weights, name="uncoded, rescaled")


def _of_experiments(name: str) -> Callable[..., jgc.CodingPlan]:
    design = SCHEMES[name].design
    return lambda p, config: design(
        p, config.num_partitions, jax.random.key(config.seed)
    )


MEASURED: dict[str, Callable[[Float[np.ndarray, " k"], Any], jgc.CodingPlan]] = {
    # The curves are of fixed decoders.
    **{
        name: _of_experiments(name)
        for name, scheme in SCHEMES.items()
        if scheme.is_fixed
    },
    "stochastic": _stochastic,
    "uncoded_rescaled": _rescaled,
}


TITLES = {name: scheme.title for name, scheme in SCHEMES.items()} | {
    "uncoded_rescaled": "uncoded, rescaled"
}


def make_plans(config: Any, deadline: float) -> list[jgc.CodingPlan]:
    """The config's schemes against one deadline.

    Raises:
        ValueError: a scheme has no plan for this k, n and p.
    """
    key = jax.random.key(config.seed)
    psi = draw_psi(key, config.num_workers, config.psi_min, config.psi_max)
    p = jgc.stragglers.deadline_probabilities(psi, deadline=deadline)
    told = conditions.told(config, p, key=jax.random.fold_in(key, 2))
    plans = {name: MEASURED[name](told, config) for name in config.schemes}
    return [
        plan if _waits_for_all(name) else replace(plan, straggler_probabilities=p)
        for name, plan in plans.items()
    ]


def _waits_for_all(name: str) -> bool:
    return name in SCHEMES and SCHEMES[name].waits_for_all


def _initial_gap(problem: KnownProblem) -> float:
    """L(β_1) less the lower bound of L, from β_1 = 0."""
    start = problem.loss(jnp.zeros(problem.features.shape[1]), problem.examples)
    return float(start.mean()) - problem.minimum


def _squared_distance(problem: KnownProblem) -> float:
    """‖β_1 − β*‖² from β_1 = 0."""
    assert problem.minimiser is not None
    return float(problem.minimiser @ problem.minimiser)
