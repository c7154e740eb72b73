"""A study: a theorem against a problem, the step sizes, what is measured, the bound.

A new study is one function and one row of `STUDIES`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import jgc
from experiments.common import schemes as plans
from experiments.convergence import problems
from experiments.convergence.curves import AVERAGE, GRADIENT, LAST, MEAN
from experiments.convergence.problem import Problem
from jgc import theory

Steps = Float[np.ndarray, " T"]


@dataclass(frozen=True)
class Study:
    """What a theorem says of a problem.

    Attributes:
        theorem: in print.
        problem: with constants.
        step_sizes: γ_1 … γ_T.
        what: is measured, of `convergence_curves`.
        average_weights: of iterates, where averages are measured.
        bound: from B of a plan to the bound at β_1 … β_T.
    """

    theorem: str
    problem: Problem
    step_sizes: Steps
    what: str
    average_weights: Steps
    bound: Callable[[float], Steps]


def _with_falling_steps(
    theorem: str, problem: Problem, t: Steps, bound: Callable[[float], Steps]
) -> Study:
    """γ_t = 1/(λt), and the bound of the last iterate."""
    return Study(
        theorem=f"{theorem}, γ = 1/(λt)",
        problem=problem,
        step_sizes=1 / (problem.strong_convexity * t),
        what=LAST,
        average_weights=np.ones_like(t),
        bound=bound,
    )


def _theorem_2(problem: Problem, num_iterations: int, n: int) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    return _with_falling_steps(
        "Theorem 2",
        problem,
        t,
        lambda b: theory.strongly_convex_gap(
            t,
            squared_gradient=b,
            strong_convexity=problem.strong_convexity,
            smoothness=problem.smoothness,
        ),
    )


def _theorem_2_constant(problem: Problem, num_iterations: int, n: int) -> Study:
    steps = np.full(num_iterations, 0.05 / problem.strong_convexity)
    return Study(
        theorem="Theorem 2, constant γ",
        problem=problem,
        step_sizes=steps,
        what=LAST,
        average_weights=np.ones_like(steps),
        bound=lambda b: theory.strongly_convex_gap_under_steps(
            steps[:-1],
            squared_gradient=b,
            strong_convexity=problem.strong_convexity,
            smoothness=problem.smoothness,
            initial_distance=_squared_distance(problem),
        ),
    )


def _theorem_3(problem: Problem, num_iterations: int, n: int) -> Study:
    # The best constant step for gradient descent's B.
    distance = _squared_distance(problem)
    best = np.sqrt(distance / (problem.squared_norm * n**2 * num_iterations))
    steps = np.full(num_iterations, best)
    return Study(
        theorem="Theorem 3, constant γ, averaged",
        problem=problem,
        step_sizes=steps,
        what=AVERAGE,
        average_weights=steps,
        bound=lambda b: theory.convex_gap(
            steps, squared_gradient=b, initial_distance=distance
        ),
    )


def _theorem_3_mean(problem: Problem, num_iterations: int, n: int) -> Study:
    # What the proof bounds before the convexity of L is used: no less than L(β̄).
    return replace(
        _theorem_3(problem, num_iterations, n),
        theorem="Theorem 3, constant γ, mean of L(β_t)",
        what=MEAN,
    )


def _theorem_4(problem: Problem, num_iterations: int, n: int) -> Study:
    start = problem.loss(jnp.zeros(problem.features.shape[1]), problem.examples)
    gap = float(start.mean()) - problem.minimum
    noise = problem.smoothness * problem.squared_norm * n**2
    steps = np.full(num_iterations, np.sqrt(2 * gap / (noise * num_iterations)))
    return Study(
        theorem="Theorem 4, constant γ, mean ‖∇L‖²",
        problem=problem,
        step_sizes=steps,
        what=GRADIENT,
        average_weights=steps,
        bound=lambda b: theory.non_convex_gradient(
            steps,
            squared_gradient=b,
            smoothness=problem.smoothness,
            initial_gap=gap,
        ),
    )


def _non_smooth_last(problem: Problem, num_iterations: int, n: int) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    return _with_falling_steps(
        "C.4.3",
        problem,
        t,
        lambda b: theory.non_smooth_gap(
            t, squared_gradient=b, strong_convexity=problem.strong_convexity
        ),
    )


def _non_smooth_average(problem: Problem, num_iterations: int, n: int) -> Study:
    t = np.arange(1.0, num_iterations + 1)
    return Study(
        theorem="C.4.3, γ = 2/(λ(t + 1)), averaged",
        problem=problem,
        step_sizes=2 / (problem.strong_convexity * (t + 1)),
        what=AVERAGE,
        average_weights=t,
        bound=lambda b: theory.non_smooth_average_gap(
            t, squared_gradient=b, strong_convexity=problem.strong_convexity
        ),
    )


# A problem and the theorem it is held against.
STUDIES = {
    "ridge": ("ridge", _theorem_2),
    "ridge_constant": ("ridge", _theorem_2_constant),
    "logistic": ("logistic", _theorem_2),
    "logistic_averaged": ("logistic", _theorem_3),
    "hinge": ("hinge", _non_smooth_last),
    "hinge_averaged": ("hinge", _non_smooth_average),
    "aligned": ("aligned", _theorem_3_mean),
    "sigmoid": ("sigmoid", _theorem_4),
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
    """IS-SGD divided by the share of gradients that it expects: E Σ_j c_j = n."""
    n = config.num_partitions
    plan = jgc.codes.uncoded(p, num_partitions=n)
    expected = (1 - p) @ plan.batch_sizes
    weights = np.full(p.size, n / expected)
    return replace(plan, weights=weights, name="IS-SGD, rescaled")


def _of_experiments(name: str) -> Callable[..., jgc.CodingPlan]:
    design = plans.SCHEMES[name].design
    return lambda p, config: design(
        p, config.num_partitions, jax.random.key(config.seed)
    )


SCHEMES: dict[str, Callable[[Float[np.ndarray, " k"], Any], jgc.CodingPlan]] = {
    # The curves are of fixed decoders.
    **{
        name: _of_experiments(name)
        for name, scheme in plans.SCHEMES.items()
        if scheme.decoder == jgc.decoders.fixed
    },
    "sgc": _stochastic,
    "is_sgd_rescaled": _rescaled,
}


def make_plans(config: Any, deadline: float) -> list[jgc.CodingPlan]:
    """The config's schemes against one deadline.

    Raises:
        ValueError: a scheme has no plan for this k, n and p.
    """
    key = jax.random.key(config.seed)
    psi = plans.draw_psi(key, config.num_workers, config.psi_min, config.psi_max)
    p = jgc.stragglers.deadline_probabilities(psi, deadline=deadline)
    return [SCHEMES[name](p, config) for name in config.schemes]


def _squared_distance(problem: Problem) -> float:
    """‖β_1 − β*‖² from β_1 = 0."""
    assert problem.minimiser is not None
    return float(problem.minimiser @ problem.minimiser)
