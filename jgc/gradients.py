"""What partition gradients are like: a similarity, a Gram matrix, or the vectors."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks


class GradientModel(NamedTuple):
    """G, as ρ·11ᵀ + (1 − ρ)·Id where only a similarity is known.

    Attributes:
        similarity: ρ in [0, 1], or None where `gram` is given.
        gram: G (n, n) in float64, or None.
    """

    similarity: float | None
    gram: Float[np.ndarray, "n n"] | None

    def factor(self, num_partitions: int) -> Float[np.ndarray, "n rank"]:
        """F with G = FFᵀ; ‖g − ĝ‖² = ‖Fᵀ(c − 1)‖²."""
        if self.gram is not None:
            values, vectors = np.linalg.eigh(self.gram)
            kept = values > np.finfo(np.float64).eps * max(values.max(), 0)
            return vectors[:, kept] * np.sqrt(values[kept])
        rho = self.similarity or 0.0
        aligned = np.full((num_partitions, 1), np.sqrt(rho))
        if rho == 1:
            return aligned
        orthogonal = np.sqrt(1 - rho) * np.eye(num_partitions)
        return orthogonal if rho == 0 else np.hstack([orthogonal, aligned])


def gradient_model(
    num_partitions: int,
    *,
    similarity: float | None,
    gram: ArrayLike | None,
    gradients: ArrayLike | None,
) -> GradientModel:
    """Checks that at most one of the options is given and is well formed.

    Raises:
        ValueError: more than one option, or a value out of its range.
    """
    given = {"similarity": similarity, "gram": gram, "gradients": gradients}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"give one of similarity, gram and gradients, got {names}")
    if gradients is not None:
        return GradientModel(None, _gram_of_rows(gradients, num_partitions))
    if gram is not None:
        return GradientModel(None, _checked_gram(gram, num_partitions))
    rho = 1.0 if similarity is None else similarity
    return GradientModel(_checks.scalar("similarity", rho, 0, 1), None)


def _gram_of_rows(gradients: ArrayLike, n: int) -> Float[np.ndarray, "n n"]:
    rows = np.asarray(gradients, np.float64)
    if rows.ndim != 2 or rows.shape[0] != n or not np.isfinite(rows).all():
        raise ValueError(
            f"gradients must be a finite ({n}, dimension) array, one row a "
            f"partition, got shape {rows.shape}"
        )
    return rows @ rows.T


def _checked_gram(gram: ArrayLike, n: int) -> Float[np.ndarray, "n n"]:
    matrix = np.asarray(gram, np.float64)
    if matrix.shape != (n, n) or not np.isfinite(matrix).all():
        raise ValueError(
            f"gram must be a finite ({n}, {n}) array, got shape {matrix.shape}"
        )
    scale = np.abs(matrix).max()
    if not np.allclose(matrix, matrix.T, rtol=0, atol=1e-8 * scale):
        raise ValueError("gram must be symmetric")
    if np.linalg.eigvalsh(matrix).min() < -1e-8 * n * scale:
        raise ValueError("gram must be positive semidefinite")
    return matrix
