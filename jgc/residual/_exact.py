"""The residual error of fixed decoders in closed form.

With m_j = E[c_j] = Σ_i (1 − p_i) w_i a_ij and Gram matrix G = (⟨g_j, g_l⟩),

    E‖g − ĝ‖² = (m − 1)ᵀ G (m − 1) + Σ_i p_i (1 − p_i) w_i² (A G Aᵀ)_ii   [ours],

for independent stragglers, biased codes as well; for unbiased ones it is
Σ_i δ_i (α G αᵀ)_ii, the paper's (15) when all gradients agree. For stragglers that
depend on one another the sum is Σ_il w_i w_l Cov(I)_il (A G Aᵀ)_il.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders import Decoder, fixed
from jgc.decoders._fixed import Fixed
from jgc.decoders._tilted.decoder import Tilted
from jgc.gradients import Gradients, GradientsLike, as_gradients
from jgc.residual._result import ResidualError


def exact(
    plan: CodingPlan,
    *,
    decoder: Decoder = fixed,
    gradients: GradientsLike | None = None,
    covariance: ArrayLike | None = None,
) -> ResidualError:
    """E‖g − ĝ‖² in closed form, of fixed weights or of a decoder designed for it.

    For `decoders.best_unbiased` it is 1ᵀλ − 1ᵀG1, under the stragglers that the decoder
    was designed for; its relatives have theirs. Other decoders have no closed form:
    see `enumerate_masks` and `monte_carlo`.

    Args:
        plan: the code, on the host (not under `jit`).
        decoder: `decoders.fixed`, or one designed for this plan and these gradients.
        gradients: how the partition gradients relate, of `jgc.gradients`; a number is a
            similarity ρ. Default ρ = 1, the paper's objective (15). `gram` and
            `vectors` cost O(kn²), the others O(E).
        covariance: Cov(I) (k, k) of who answers, for workers that straggle together;
            its diagonal is p_i (1 − p_i). A straggler model's `covariance()` gives it.
            Costs O(k²n). By default workers are independent. Of fixed weights only.

    Raises:
        ValueError: an argument of a wrong shape or out of its range; a decoder without
            a closed form, or designed for other gradients.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.5], num_partitions=2)
        >>> exact(plan).relative
        0.375
    """
    model = as_gradients(gradients, plan.num_partitions)
    if not isinstance(decoder, Fixed):
        return _of_design(plan, decoder, model, covariance)
    moments, n = _Moments(plan), plan.num_partitions
    if covariance is not None:
        matrix = _checked_covariance(covariance, plan)
        error = moments.correlated(model.factor(n), matrix)
    elif model.matrix is not None:
        error = moments.with_gram(model.matrix)
    else:
        rho = model.similarity or 0.0
        error = rho * moments.aligned() + (1 - rho) * moments.orthogonal()
    return ResidualError(
        mean=error,
        standard_error=0.0,
        trials=0,
        method="exact",
        squared_norm=model.squared_norm(n),
    )


def _of_design(
    plan: CodingPlan,
    decoder: Decoder,
    gradients: Gradients,
    covariance: ArrayLike | None,
) -> ResidualError:
    if not isinstance(decoder, Tilted):
        raise ValueError(
            f"decoder {getattr(decoder, 'name', decoder)!r} has no closed form; "
            "accepted: decoders.fixed, "
            "and what best_unbiased, trade_off or conditional_least_squares return. "
            "Use jgc.residual.enumerate_masks or monte_carlo"
        )
    decoder.check(plan)
    if covariance is not None:
        raise ValueError(
            "covariance must be None for a designed decoder, which has the law of its "
            "own design: best_unbiased(plan, model=…)"
        )
    if not decoder.recipe.gradients.equals(gradients, plan.num_partitions):
        raise ValueError(
            f"decoder {decoder.name!r} was designed for other gradients; pass those as "
            "gradients=, or use jgc.residual.enumerate_masks or monte_carlo"
        )
    design = decoder.design
    is_sampled = design.method == "sampled"
    return ResidualError(
        mean=float(design.error),
        standard_error=float(design.standard_error),
        trials=design.num_masks if is_sampled else 0,
        method="sampled design" if is_sampled else "exact",
        squared_norm=gradients.squared_norm(plan.num_partitions),
    )


def unbiased_floor(plan: CodingPlan, *, p: ArrayLike | None = None) -> float:
    """P₀/(1 − P₀), P₀ the chance that nothing arrives: no unbiased ĝ has less error.

    Of E‖g − ĝ‖²/‖g‖², whatever the decoder, the load and the gradients: where nothing
    arrives ĝ = 0, and the rest must make up for it [ours]. `decoders.best_unbiased`
    reaches it for aligned gradients. For independent workers; those without data do not
    count.

    Args:
        plan: whose p is meant.
        p: probabilities (k,) in its place.

    Raises:
        ValueError: p of another size or out of its range, or all 1.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.5], num_partitions=2)
        >>> round(unbiased_floor(plan), 4)
        0.3333
    """
    if p is not None and np.shape(p) != (plan.num_workers,):
        raise ValueError(
            f"p must have {plan.num_workers} entries, got shape {np.shape(p)}"
        )
    chances = _checks.probabilities(plan.straggler_probabilities if p is None else p)
    with np.errstate(divide="ignore"):
        log_nobody = np.log(chances[plan.batch_sizes > 0]).sum()
    return float(np.exp(log_nobody) / -np.expm1(log_nobody))


class ResidualBounds(NamedTuple):
    """The residual error where gradients are not known, for gradients of norm ≤ 1.

    Attributes:
        orthogonal: all of unit norm and orthogonal (ρ = 0).
        aligned: all equal (ρ = 1), the paper's objective (15).
        certified: no gradients of norm at most 1 exceed it,
            (Σ_j |m_j − 1|)² + Σ_i p_i (1 − p_i) w_i² (Σ_j |a_ij|)²; for unbiased codes
            Σ_i δ_i (Σ_j |α_i^j|)², which is n²/D exactly when every α ≥ 0.
    """

    orthogonal: float
    aligned: float
    certified: float


def bounds(plan: CodingPlan) -> ResidualBounds:
    """What can be said of the residual error without knowing the gradients.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5], num_partitions=2)
        >>> [round(bound, 3) for bound in bounds(plan)]  # n²/D = 4/(4 + 1) where α ≥ 0
        [0.5, 0.8, 0.8]
    """
    moments = _Moments(plan)
    return ResidualBounds(
        orthogonal=moments.orthogonal(),
        aligned=moments.aligned(),
        certified=moments.certified(),
    )


def bias(plan: CodingPlan) -> Float[np.ndarray, " n"]:
    """E[c_j] − 1 per partition: 0 for unbiased codes.

    Example:
        >>> import jgc
        >>> bias(jgc.codes.uncoded([0.5, 0.25], num_partitions=2)).tolist()
        [-0.5, -0.25]
        >>> plan = jgc.codes.interval([0.5, 0.25], num_partitions=2)
        >>> abs(bias(plan)).round(9).tolist()
        [0.0, 0.0]
    """
    return _Moments(plan).bias


def worker_shares(plan: CodingPlan, related: Gradients) -> Float[np.ndarray, " k"]:
    """The share of the variance that is each independent worker's; 0 without any."""
    moments = _Moments(plan)
    share = moments.variance * moments.message_norms(related)
    return share / (share.sum() or 1.0)


class _Moments:
    """Mean and variance factors of the decoded gradient, in float64."""

    def __init__(self, plan: CodingPlan) -> None:
        self.worker = np.asarray(plan.edge_worker)
        self.partition = np.asarray(plan.edge_partition)
        self.coefficient = np.asarray(plan.edge_coefficient, np.float64)
        self.num_workers = plan.num_workers
        self.num_partitions = plan.num_partitions
        p = np.asarray(plan.straggler_probabilities, np.float64)
        w = np.asarray(plan.weights, np.float64)
        self.bias = (
            np.bincount(
                self.partition,
                weights=((1 - p) * w)[self.worker] * self.coefficient,
                minlength=plan.num_partitions,
            )
            - 1
        )
        self.weights = w
        self.variance = p * (1 - p) * w**2  # of I_i w_i

    def aligned(self) -> float:
        return self._error(self.bias.sum() ** 2, self._row_sums(self.coefficient) ** 2)

    def orthogonal(self) -> float:
        return self._error((self.bias**2).sum(), self._row_sums(self.coefficient**2))

    def certified(self) -> float:
        return self._error(
            np.abs(self.bias).sum() ** 2, self._row_sums(np.abs(self.coefficient)) ** 2
        )

    def with_gram(self, gram: Float[np.ndarray, "n n"]) -> float:
        matrix = self._encoding()
        return self._error(
            self.bias @ gram @ self.bias, np.einsum("ij,ij->i", matrix @ gram, matrix)
        )

    def message_norms(self, related: Gradients) -> Float[np.ndarray, " k"]:
        """(A G Aᵀ)_ii."""
        if related.matrix is not None:
            matrix = self._encoding()
            return np.einsum("ij,ij->i", matrix @ related.matrix, matrix)
        rho = related.similarity or 0.0
        return rho * self._row_sums(self.coefficient) ** 2 + (1 - rho) * self._row_sums(
            self.coefficient**2
        )

    def correlated(
        self, factor: Float[np.ndarray, "n rank"], covariance: Float[np.ndarray, "k k"]
    ) -> float:
        """For G = FFᵀ and Cov(I), by the coordinates of each message in F."""
        messages = self.weights[:, None] * (self._encoding() @ factor)
        squared_bias = ((self.bias @ factor) ** 2).sum()
        return float(squared_bias + (messages * (covariance @ messages)).sum())

    def _encoding(self) -> Float[np.ndarray, "k n"]:
        matrix = np.zeros((self.num_workers, self.num_partitions))
        np.add.at(matrix, (self.worker, self.partition), self.coefficient)
        return matrix

    def _row_sums(self, edge_values: np.ndarray) -> np.ndarray:
        return np.bincount(self.worker, weights=edge_values, minlength=self.num_workers)

    def _error(self, squared_bias: float, message_norms: np.ndarray) -> float:
        return float(squared_bias + (self.variance * message_norms).sum())


def _checked_covariance(
    covariance: ArrayLike, plan: CodingPlan
) -> Float[np.ndarray, "k k"]:
    k, matrix = plan.num_workers, np.asarray(covariance, np.float64)
    if matrix.shape != (k, k) or not np.isfinite(matrix).all():
        raise ValueError(
            f"covariance must be a finite ({k}, {k}) array, got shape {matrix.shape}"
        )
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-9):
        raise ValueError("covariance must be symmetric")
    p = np.asarray(plan.straggler_probabilities, np.float64)
    difference = np.abs(np.diag(matrix) - p * (1 - p))
    if difference.max() > 1e-6:
        at = int(difference.argmax())
        raise ValueError(
            f"covariance must have p(1 - p) of the plan on its diagonal, got "
            f"{matrix[at, at]:g} for worker {at} with p = {p[at]:g}"
        )
    return matrix
