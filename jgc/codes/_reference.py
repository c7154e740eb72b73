"""The optimisation problem (P3) given to a convex solver: the reference."""

import numpy as np
import scipy.sparse
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc import _extras as extras
from jgc._plan import CodingPlan
from jgc.codes._edges import placement_edges, without_lost_workers, without_zeros
from jgc.codes._optimal_structure import (
    inverse_odds_shares,
    plan_from_alpha,
    warn_if_negative,
)
from jgc.gradients import GradientsLike, as_similarity

# Coefficients below this share of the objective's scale are the solver's noise.
_NOISE = 1e-9

_SOLVER_TOLERANCES = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12, "tol_feas": 1e-12}


def reference(
    p: ArrayLike,
    *,
    num_partitions: int,
    gradients: GradientsLike = 1.0,
    squared_norm: float = 1.0,
    noise_variance: float = 0.0,
    support: ArrayLike | CodingPlan | None = None,
    capacity: ArrayLike | None = None,
    nonnegative: bool = False,
    expected_weights: ArrayLike | None = None,
) -> CodingPlan:
    """The best unbiased code with fixed weights, by convex optimisation, (P3), C.4.1.

    Minimises C Σ_i δ_i [(1 − ρ) Σ_j (α_i^j)² + ρ (Σ_j α_i^j)²] + σ² Σ_ij δ_i (α_i^j)²
    under Σ_i α_i^j = 1, by cvxpy with Clarabel (extra "reference"). The first term is
    the residual error for gradients of squared norm C and similarity ρ, the second is
    what mini-batches of variance σ² add (C.4.1), but for n σ², which no code changes.
    The yardstick for every closed form, and the way to constraints that have none; for
    up to some 10^5 entries. Without constraints `dense` is as good and immediate; with
    `support` alone, `on_placement`. Optima at ρ = 1 are many: this is one, not sparse.

    Args:
        p: straggler probabilities (k,), each in [0, 1], not all 1; any order. Workers
            with p_i = 1 hold nothing.
        num_partitions: n ≥ 1.
        gradients: how the partition gradients relate, by similarity or common part;
            1 is the paper's objective (15).
        squared_norm: C ≥ 0, the bound on ⟨g_j, g_l⟩.
        noise_variance: σ² ≥ 0, of a partition's mini-batch gradient, the same batch on
            all its workers. Only σ²/C matters; not both 0.
        support: which worker may hold which partition: a boolean matrix (k, n), or a
            plan whose edges are meant. Default all.
        capacity: the most Σ_j |α_i^j| of worker i, ≥ 0; one number, or (k,). How many
            partitions' worth it may carry: the convex form of "at most so many
            partitions", to which it is a necessary condition where 0 ≤ α ≤ 1. To bound
            the partitions themselves, give `support`.
        nonnegative: α ≥ 0, so that the bound holds for all gradients.
        expected_weights: w̃_i = (1 − p_i) w_i (17), positive (k,); any choice decodes
            to the same gradient. The default makes messages weighted means.

    Raises:
        ValueError: an argument out of its range, constraints that no code satisfies, or
            p so unequal that the solver fails.
        ImportError: cvxpy is not installed.

    Warns:
        NegativeCoefficientWarning: some α < 0, so that Lemma 1's bound may fail.

    Example:
        >>> plan = reference([0.2, 0.2, 0.5], num_partitions=3, capacity=[1, 3, 3])
        >>> plan.alpha().sum(1).round(3).tolist()  # Y = 1.333, 1.333, 0.333 without
        [1.0, 1.6, 0.4]
    """
    p, n = _checks.probabilities(p), _checks.count("num_partitions", num_partitions)
    k = p.size
    rho = as_similarity(gradients, n)
    c = _checks.scalar("squared_norm", squared_norm, 0)
    noise = _checks.scalar("noise_variance", noise_variance, 0)
    if c == 0 and noise == 0:
        raise ValueError("squared_norm and noise_variance must not both be 0")
    worker, partition = np.repeat(np.arange(k), n), np.tile(np.arange(n), k)
    if support is not None:
        worker, partition, size = placement_edges("support", support, k)
        if size != n:
            raise ValueError(
                f"support must be for num_partitions = {n} partitions, got {size}"
            )
    worker, partition = without_lost_workers("support", p, worker, partition, n)
    limits = None if capacity is None else _limits(capacity, p, n)

    total = c + noise
    alpha = _solve(
        p,
        worker,
        partition,
        n,
        spread_cost=(c * (1 - rho) + noise) / total,
        sum_cost=c * rho / total,
        limits=limits,
        nonnegative=nonnegative,
    )
    plan = plan_from_alpha(
        p,
        *without_zeros(worker, partition, alpha),
        num_partitions=n,
        name="reference",
        expected_weights=expected_weights,
    )
    return warn_if_negative(plan)


def _limits(
    capacity: ArrayLike, p: Float[np.ndarray, " k"], n: int
) -> Float[np.ndarray, " k"]:
    limits = _checks.one_or_each("capacity", capacity, p.size, "worker")
    if (limits < 0).any():
        raise ValueError(f"capacity must be at least 0, got {capacity!r}")
    if limits[p < 1].sum() < n:
        raise ValueError(
            f"capacity must sum to num_partitions = {n} or more over the workers with "
            f"p_i < 1, got {limits[p < 1].sum():g}"
        )
    return limits


def _solve(
    p: Float[np.ndarray, " k"],
    worker: np.ndarray,
    partition: np.ndarray,
    n: int,
    *,
    spread_cost: float,
    sum_cost: float,
    limits: Float[np.ndarray, " k"] | None,
    nonnegative: bool,
) -> Float[np.ndarray, " E"]:
    """α of each edge, with column sums 1 to rounding."""
    cp = extras.require("cvxpy", extra="reference")
    # α_i = t_i β_i with t_i² ∝ 1/δ_i leaves an objective without δ, whose optimum is
    # of the size of its data however near p is to 0 or 1. What costs nothing has t = 1.
    scale = np.ones(p.size)
    costly = p > 0
    if (costly & (p < 1)).any():
        scale[costly] = np.sqrt(inverse_odds_shares(p[costly]))
    t, is_costly = scale[worker], costly[worker].astype(float)

    beta = cp.Variable(worker.size)
    by_worker = _incidence(worker, p.size)
    by_partition = _incidence(partition, n)
    objective = sum_cost * cp.sum_squares((by_worker * is_costly) @ beta)
    if spread_cost > 0:
        objective += spread_cost * cp.sum_squares(cp.multiply(is_costly, beta))
    constraints = [(by_partition * t) @ beta == 1]
    if nonnegative:
        constraints.append(beta >= 0)
    if limits is not None:
        size = beta if nonnegative else cp.abs(beta)
        # In α, not in β, where p_i near 1 would make any limit huge.
        constraints.append((by_worker * t) @ size <= limits)
    problem = cp.Problem(cp.Minimize(objective), constraints)
    try:
        problem.solve(solver=cp.CLARABEL, **_SOLVER_TOLERANCES)
        status = problem.status
    except cp.SolverError:
        status = "solver_error"
    if status in (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE):
        raise ValueError(
            "support, capacity and nonnegative must leave a code with column sums 1: "
            "the solver finds none"
        )
    if beta.value is None:
        raise ValueError(
            f"p must be less unequal for these constraints: the solver gives up "
            f"({status}) with p from {p.min():g} to {p.max():g}"
        )
    values = np.where(np.abs(beta.value) > _NOISE, beta.value, 0)
    alpha = t * (np.maximum(values, 0) if nonnegative else values)
    sums = np.bincount(partition, alpha, n)
    if not (np.abs(sums - 1) < 1e-5).all():
        raise ValueError(
            f"p must be less unequal for these constraints: the solver's solution "
            f"({status}) has column sums off by {np.abs(sums - 1).max():.1e}, with p "
            f"from {p.min():g} to {p.max():g}"
        )
    return alpha / sums[partition]


def _incidence(index: np.ndarray, size: int) -> scipy.sparse.csr_array:
    return scipy.sparse.csr_array(
        (np.ones(index.size), (index, np.arange(index.size))), shape=(size, index.size)
    )
