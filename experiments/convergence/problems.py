"""Training problems whose λ, μ, C and minimum are known, for theory to be held against.

The objective is the mean loss L(β) = Σ_x loss_x(β)/N, and L(D_j) partition j's part of
it; the convex ones have λ/2 ‖β‖² in each example's loss, and their iterates are
projected onto a ball around 0 twice as large as the minimiser is long. Over it the
partition gradients are bounded (Assumption 1).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import minimize

from experiments.convergence.problem import (
    KnownProblem,
    RegressionData,
    largest_curvature,
    make_data,
    margin_bound,
)

# The radius, in lengths of the minimiser.
_ROOM = 2.0


def ridge(
    *, num_examples: int, dimension: int, num_partitions: int, regularizer: float
) -> KnownProblem:
    """½(xᵀβ − y)² + λ₀/2 ‖β‖²: λ and μ are the extreme eigenvalues of XᵀX/N + λ₀ Id.

    C by ‖H_j β − b_j‖ ≤ ‖H_j‖ R + ‖b_j‖ for partition j's Hessian H_j. Each partition
    has parameters of its own, so that their minimisers differ.
    """
    x, y, partition = make_data(num_examples, dimension, num_partitions)

    def loss(beta: Array, examples: RegressionData) -> Array:
        features, targets = examples
        residual = features @ beta - targets
        return residual**2 / 2 + regularizer / 2 * beta @ beta

    def hessian_and_slope(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weighted = x * weights[:, None] / num_examples
        eye = regularizer * weights.sum() / num_examples * np.eye(dimension)
        return weighted.T @ x + eye, weighted.T @ y

    def solve(weights: np.ndarray) -> np.ndarray:
        return np.linalg.solve(*hessian_and_slope(weights[partition]))

    best = solve(np.ones(num_partitions))
    radius = _ROOM * float(np.linalg.norm(best))
    parts = [
        hessian_and_slope((partition == j).astype(float)) for j in range(num_partitions)
    ]
    bounds = [np.linalg.norm(h, 2) * radius + np.linalg.norm(b) for h, b in parts]
    eigenvalues = np.linalg.eigvalsh(hessian_and_slope(np.ones(num_examples))[0])
    residuals = x @ best - y
    return KnownProblem(
        name="ridge regression",
        loss=loss,
        features=x,
        targets=y,
        partition=partition,
        squared_norm=float(max(bounds) ** 2),
        strong_convexity=float(eigenvalues[0]),
        smoothness=float(eigenvalues[-1]),
        minimum=float(np.mean(residuals**2) / 2 + regularizer / 2 * best @ best),
        minimiser=best,
        radius=radius,
        solve=solve,
    )


def logistic(
    *, num_examples: int, dimension: int, num_partitions: int, regularizer: float
) -> KnownProblem:
    """log(1 + e^{−y xᵀβ}) + λ/2 ‖β‖²: μ = λ_max(XᵀX)/(4N) + λ.

    C by ‖∇L(D_j)‖ ≤ Σ_{x in D_j} ‖x‖/N + λ R N_j/N.
    """
    x, signal, partition = make_data(num_examples, dimension, num_partitions)
    y = np.where(signal > 0, 1.0, -1.0)

    def loss(beta: Array, examples: RegressionData) -> Array:
        features, targets = examples
        margins = targets * (features @ beta)
        return jax.nn.softplus(-margins) + regularizer / 2 * beta @ beta

    def value_and_slope(
        beta: np.ndarray, weights: np.ndarray
    ) -> tuple[float, np.ndarray]:
        margins = y * (x @ beta)
        value = weights @ np.logaddexp(0, -margins)
        slope = -(weights * y / (1 + np.exp(margins))) @ x
        ridge = regularizer * weights.sum()
        return (
            (value + ridge / 2 * beta @ beta) / num_examples,
            (slope + ridge * beta) / num_examples,
        )

    def solve(weights: np.ndarray) -> np.ndarray:
        found = minimize(
            value_and_slope,
            np.zeros(dimension),
            args=(weights[partition],),
            jac=True,
            method="L-BFGS-B",
            options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 10_000},
        )
        return found.x

    best = solve(np.ones(num_partitions))
    radius = _ROOM * float(np.linalg.norm(best))
    return KnownProblem(
        name="logistic regression",
        loss=loss,
        features=x,
        targets=y,
        partition=partition,
        squared_norm=margin_bound(x, partition, regularizer * radius),
        strong_convexity=regularizer,
        smoothness=largest_curvature(x) / 4 + regularizer,
        minimum=float(value_and_slope(best, np.ones(num_examples))[0]),
        minimiser=best,
        radius=radius,
        solve=solve,
    )


def hinge(
    *, num_examples: int, dimension: int, num_partitions: int, regularizer: float
) -> KnownProblem:
    """max(0, 1 − y xᵀβ) + λ/2 ‖β‖², a support vector machine: no μ (C.4.3).

    C as for logistic regression. L* is the value of the dual at the point found, below
    the true minimum by the duality gap: measured gaps are never too small.
    """
    x, signal, partition = make_data(num_examples, dimension, num_partitions)
    y = np.where(signal > 0, 1.0, -1.0)
    rows = y[:, None] * x

    def loss(beta: Array, examples: RegressionData) -> Array:
        features, targets = examples
        margins = targets * (features @ beta)
        return jax.nn.relu(1 - margins) + regularizer / 2 * beta @ beta

    def solve_dual(weights: np.ndarray) -> tuple[float, np.ndarray]:
        # β = Σ_x a_x y_x x/(ΛN) with 0 ≤ a_x ≤ weight_x and Λ = λ · mean weight.
        total = regularizer * weights.mean()

        def negative_dual(a: np.ndarray) -> tuple[float, np.ndarray]:
            beta = a @ rows / (total * num_examples)
            value = a.mean() - total / 2 * beta @ beta
            return -value, -(1 - rows @ beta) / num_examples

        found = minimize(
            negative_dual,
            weights / 2,
            jac=True,
            bounds=list(zip(np.zeros(num_examples), weights, strict=True)),
            method="L-BFGS-B",
            options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 50_000},
        )
        return -float(found.fun), found.x @ rows / (total * num_examples)

    minimum, best = solve_dual(np.ones(num_examples))
    radius = _ROOM * float(np.linalg.norm(best))
    return KnownProblem(
        name="hinge loss",
        loss=loss,
        features=x,
        targets=y,
        partition=partition,
        squared_norm=margin_bound(x, partition, regularizer * radius),
        strong_convexity=regularizer,
        smoothness=np.inf,
        minimum=minimum,
        minimiser=best,
        radius=radius,
        solve=lambda weights: solve_dual(weights[partition])[1],
    )


def sigmoid(*, num_examples: int, dimension: int, num_partitions: int) -> KnownProblem:
    """1/(1 + e^{y xᵀβ}), not convex, without projection.

    μ = λ_max(XᵀX)/(6√3 N), the sigmoid's greatest curvature being 1/(6√3);
    C by ‖∇L(D_j)‖ ≤ Σ_{x in D_j} ‖x‖/(4N); L ≥ 0.
    """
    x, signal, partition = make_data(num_examples, dimension, num_partitions)
    y = np.where(signal > 0, 1.0, -1.0)

    def loss(beta: Array, examples: RegressionData) -> Array:
        features, targets = examples
        return jax.nn.sigmoid(-targets * (features @ beta))

    return KnownProblem(
        name="sigmoid loss",
        loss=loss,
        features=x,
        targets=y,
        partition=partition,
        squared_norm=margin_bound(x, partition, 0.0) / 16,
        strong_convexity=0.0,
        smoothness=largest_curvature(x) / (6 * np.sqrt(3)),
        minimum=0.0,
        minimiser=None,
        radius=np.inf,
        solve=None,
    )


def aligned(*, num_examples: int, dimension: int, num_partitions: int) -> KnownProblem:
    """|xᵀβ − 1| with the same unit x in all examples, without projection.

    All partition gradients agree and have norm √C, 1/n: E‖ĝ‖² is B itself wherever
    the iterate stands, and bounds that are sharp in B show it.
    """
    partition = np.arange(num_examples) * num_partitions // num_examples
    x = np.full((num_examples, dimension), dimension**-0.5)

    def loss(beta: Array, examples: RegressionData) -> Array:
        features, targets = examples
        return jnp.abs(features @ beta - targets)

    return KnownProblem(
        name="equal absolute losses",
        loss=loss,
        features=x,
        targets=np.ones(num_examples),
        partition=partition,
        squared_norm=float(np.bincount(partition).max() / num_examples) ** 2,
        strong_convexity=0.0,
        smoothness=np.inf,
        minimum=0.0,
        minimiser=x[0],
        radius=np.inf,
        solve=None,
    )
