"""How partition gradients relate to one another: what every error depends on.

    jgc.gradients.similar(0.5)     # unit norm, any two with inner product 0.5
    jgc.gradients.common(0.5)      # half of ‖g‖² is what all have in common
    jgc.gradients.gram(G)          # G = (⟨g_j, g_l⟩)
    jgc.gradients.vectors(g)       # the gradients themselves, one a row

`following` estimates ρ from messages while training.

Functions take one of these as `gradients=`; a number ρ there means `similar(ρ)`.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._similarity import Similarity, SimilarityEstimator, following

__all__ = [
    "Gradients",
    "GradientsLike",
    "Similarity",
    "SimilarityEstimator",
    "as_gradients",
    "as_similarity",
    "common",
    "following",
    "gram",
    "similar",
    "vectors",
]


@dataclass(frozen=True, eq=False)
class Gradients:
    """What is known of the Gram matrix G = (⟨g_j, g_l⟩); made by this module.

    Attributes:
        similarity: ρ in [0, 1] with G = ρ·11ᵀ + (1 − ρ)·Id; None where it depends on n
            or where G is given.
        common_part: 1ᵀG1's part that is common, for `common`; None otherwise.
        matrix: G (n, n) in float64 where it is given; None otherwise.
    """

    similarity: float | None = None
    common_part: float | None = None
    matrix: Float[np.ndarray, "n n"] | None = None

    def for_partitions(self, num_partitions: int) -> "Gradients":
        """The same for n partitions: a `similarity`, or a `matrix` (n, n).

        Raises:
            ValueError: G has another size.
        """
        n = num_partitions
        if self.common_part is not None:
            common = self.common_part
            return similar(common / (common + (1 - common) * n))
        if self.matrix is not None and self.matrix.shape != (n, n):
            raise ValueError(
                f"gradients must be of the plan's {n} partitions, got "
                f"{self.matrix.shape[0]}"
            )
        return self

    def equals(self, other: "Gradients", num_partitions: int) -> bool:
        """Whether both are the same for n partitions."""
        one = self.for_partitions(num_partitions)
        two = other.for_partitions(num_partitions)
        if one.matrix is None or two.matrix is None:
            return one.matrix is two.matrix and one.similarity == two.similarity
        return np.array_equal(one.matrix, two.matrix)

    def squared_norm(self, num_partitions: int) -> float:
        """‖g‖² = 1ᵀG1 of the full gradient g = Σ_j g_j."""
        n, own = num_partitions, self.for_partitions(num_partitions)
        if own.matrix is not None:
            return float(own.matrix.sum())
        rho = own.similarity or 0.0
        return rho * n**2 + (1 - rho) * n

    def gram_matrix(self, num_partitions: int) -> Float[np.ndarray, "n n"]:
        """G (n, n)."""
        own = self.for_partitions(num_partitions)
        if own.matrix is not None:
            return own.matrix
        rho = own.similarity or 0.0
        shape = (num_partitions, num_partitions)
        return np.full(shape, rho) + (1 - rho) * np.eye(num_partitions)

    def factor(self, num_partitions: int) -> Float[np.ndarray, "n rank"]:
        """F with G = FFᵀ; ‖g − ĝ‖² = ‖Fᵀ(c − 1)‖²."""
        own = self.for_partitions(num_partitions)
        if own.matrix is not None:
            values, vectors_ = np.linalg.eigh(own.matrix)
            kept = values > np.finfo(np.float64).eps * max(values.max(), 0)
            return vectors_[:, kept] * np.sqrt(values[kept])
        rho = own.similarity or 0.0
        aligned = np.full((num_partitions, 1), np.sqrt(rho))
        if rho == 1:
            return aligned
        orthogonal = np.sqrt(1 - rho) * np.eye(num_partitions)
        return orthogonal if rho == 0 else np.hstack([orthogonal, aligned])


#: What a `gradients=` argument takes.
GradientsLike: TypeAlias = Gradients | float


def similar(rho: float) -> Gradients:
    """Unit norm, the inner product of any two is ρ: G = ρ·11ᵀ + (1 − ρ)·Id.

    Args:
        rho: ρ in [0, 1]; 1, all equal, is the paper's objective (15), 0 is orthogonal.

    Raises:
        ValueError: ρ outside [0, 1].

    Example:
        >>> similar(0.5).gram_matrix(2).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    return Gradients(similarity=_checks.scalar("rho", rho, 0, 1))


def common(part: float) -> Gradients:
    """Unit norm, and a part of ‖g‖² comes from what all partitions have in common.

    The errors of equal and of orthogonal gradients, each over its ‖g‖², add up with
    weights c and 1 − c. The similarity is ρ = c/(c + (1 − c)n).

    Args:
        part: c in [0, 1].

    Raises:
        ValueError: c outside [0, 1].

    Example:
        >>> common(0.5).for_partitions(4).similarity
        0.2
    """
    return Gradients(common_part=_checks.scalar("part", part, 0, 1))


def gram(matrix: ArrayLike) -> Gradients:
    """Partition gradients with the Gram matrix G = (⟨g_j, g_l⟩).

    Args:
        matrix: G (n, n), real, finite, symmetric and positive semidefinite.

    Raises:
        ValueError: it is no such matrix.

    Example:
        >>> gram([[1.0, -1.0], [-1.0, 4.0]]).squared_norm(2)
        3.0
    """
    values = _checks.matrix("matrix", matrix)
    if values.shape[0] != values.shape[1]:
        raise ValueError(f"matrix must be square, got shape {values.shape}")
    scale = np.abs(values).max()
    if not np.allclose(values, values.T, rtol=0, atol=1e-8 * scale):
        raise ValueError("matrix must be symmetric")
    if np.linalg.eigvalsh(values).min() < -1e-8 * values.shape[0] * scale:
        raise ValueError("matrix must be positive semidefinite")
    return Gradients(matrix=values)


def vectors(rows: ArrayLike) -> Gradients:
    """The partition gradients g_j themselves.

    Args:
        rows: g (n, dimension), real and finite, one row a partition.

    Raises:
        ValueError: it is no such array.

    Example:
        >>> vectors([[1.0, 0.0], [1.0, 1.0]]).gram_matrix(2).tolist()
        [[1.0, 1.0], [1.0, 2.0]]
    """
    values = _checks.matrix("rows", rows)
    return Gradients(matrix=values @ values.T)


def as_gradients(
    gradients: GradientsLike | None, num_partitions: int, *, default: float = 1.0
) -> Gradients:
    """What a `gradients=` argument means for n partitions.

    Args:
        gradients: of this module; a number ρ: `similar(ρ)`; None: `similar(default)`.
        num_partitions: n.
        default: ρ of None.

    Raises:
        ValueError: none of these, or for another number of partitions.

    Example:
        >>> as_gradients(None, 4).similarity, as_gradients(0.5, 4).similarity
        (1.0, 0.5)
        >>> as_gradients(common(0.5), 4).similarity  # 0.5/(0.5 + 0.5 · 4)
        0.2
    """
    if gradients is None:
        gradients = similar(default)
    elif not isinstance(gradients, Gradients):
        if np.ndim(gradients) != 0:
            raise ValueError(
                "gradients must be a similarity in [0, 1] or of jgc.gradients, such as "
                f"gram(G) or vectors(g); got an array of shape {np.shape(gradients)}"
            )
        similarity = _checks.scalar("gradients", gradients, 0, 1)
        gradients = Gradients(similarity=similarity)
    return gradients.for_partitions(num_partitions)


def as_similarity(
    gradients: GradientsLike | None, num_partitions: int, *, default: float = 1.0
) -> float:
    """ρ of what `as_gradients` takes, where a Gram matrix does not serve.

    Raises:
        ValueError: as `as_gradients`, or a Gram matrix.

    Example:
        >>> as_similarity(0.5, 4)
        0.5
        >>> as_similarity(gram([[1.0, 0.0], [0.0, 1.0]]), 2)
        Traceback (most recent call last):
        ValueError: gradients must be a similarity in [0, 1], ...
    """
    rho = as_gradients(gradients, num_partitions, default=default).similarity
    if rho is None:
        raise ValueError(
            "gradients must be a similarity in [0, 1], jgc.gradients.similar or common "
            "here; got a Gram matrix"
        )
    return rho
