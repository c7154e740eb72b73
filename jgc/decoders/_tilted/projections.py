"""Projections onto what the messages that arrived can say.

With R the rows that the workers send, and I those that answered, Π_I τ is the
combination of the rows in I that is nearest to a target τ. Every decoder here is made
of such projections. They use what the code offers: groups of parallel messages count as
one, overlaps in a band take O(k), graph codes go by components, anything else by
Cholesky factors.

Those by factors are Σ φ(σ²) of the directions of the rows in I, with σ the singular
values and φ = 1 − (λ/(λ + σ²))² in place of 1 (`jgc.decoders._ridge`): that is
(RRᵀ)_I + N in place of (RRᵀ)_I, with 0 ≤ N ≤ λ/2, as if messages had a noise. What only
the difference of messages that look alike tells, below √λ, is passed over. Weights are
therefore not those of the pseudo-inverse, which has 1/σ there: the smallest σ of a
chain of overlapping workers is about the product of their overlaps, 1e-10 at 100
workers, and which of those count as 0 is a matter of its tolerance. A decoder projects
with the λ of the precision that it was designed in, also where it runs in a finer one,
and a group counts the same however many of it answered, so that what is designed
without a bias has none.

A projection knows a target by its side: the inner products with the unit rows (or the
target itself, for graphs). What `solve` returns is linear in it.
"""

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import sparse

from jgc._plan import AnyArray, CodingPlan
from jgc._pytree import pytree
from jgc.decoders import _graph
from jgc.decoders._banded import solve_banded
from jgc.decoders._decoder import float_dtype
from jgc.decoders._ridge import ridge, solve_subsets
from jgc.decoders._structure import Structure, encoding_rows
from jgc.gradients import Gradients

# From here on graphs are decoded by components: below, Cholesky factors are faster.
_SMALLEST_GRAPH = 64

# Of the mean diagonal entry of a Gram matrix: what a nearly singular one has added.
# Decoding without a bias for all gradients needs every direction, and its noise along
# those that cost nothing would have no limit.
SINGULAR_SHIFT = 1e-3

Side = Float[Array, "sides size"]
Solution = Float[Array, "sides size trials"]


@runtime_checkable
class Projection(Protocol):
    """Π_I of any targets, for any masks; a pytree."""

    @property
    def num_workers(self) -> int:
        """K."""

    def solve(self, sides: Side, answered: Bool[Array, "k trials"]) -> Solution:
        """A solution for each target and mask; its product with a side is τᵀΠ_I τ'."""

    def weights(
        self, solution: Float[Array, "size trials"], answered: Bool[Array, "k trials"]
    ) -> Float[Array, "k trials"]:
        """The weight of each message that makes the projection."""


@pytree
@dataclass(frozen=True, eq=False)
class RowProjection:
    """By the Gram matrix of the unit rows, one for each group of parallel messages.

    Attributes:
        group: of each worker.
        inverse_norm: 1/‖row‖ of each worker, 0 where it holds nothing.
        matrix: the Gram matrix (groups, groups), or its band (groups, w + 1).
        is_banded: which of the two.
        shift: λ.
    """

    group: Int[AnyArray, " k"]
    inverse_norm: Float[AnyArray, " k"]
    matrix: Float[AnyArray, "groups columns"]
    is_banded: bool = field(metadata={"static": True})
    shift: float = field(metadata={"static": True})

    @property
    def num_workers(self) -> int:
        """K."""
        return self.group.shape[-1]

    def solve(self, sides: Side, answered: Bool[Array, "k trials"]) -> Solution:
        dtype = sides.dtype
        here = (self._counts(answered, dtype) > 0).astype(dtype)
        matrix = jnp.asarray(self.matrix, dtype)
        solver = solve_banded if self.is_banded else solve_subsets
        return solver(matrix, sides, here, max(self.shift, ridge(dtype)))

    def weights(
        self, solution: Float[Array, "size trials"], answered: Bool[Array, "k trials"]
    ) -> Float[Array, "k trials"]:
        each = solution / jnp.maximum(self._counts(answered, solution.dtype), 1)
        inverse = jnp.asarray(self.inverse_norm, solution.dtype)[:, None]
        return jnp.where(answered, each[self.group] * inverse, 0)

    def _counts(
        self, answered: Bool[Array, "k trials"], dtype: jnp.dtype
    ) -> Float[Array, "groups trials"]:
        return jax.ops.segment_sum(
            answered.astype(dtype), jnp.asarray(self.group), self.matrix.shape[0]
        )


@pytree
@dataclass(frozen=True, eq=False)
class GraphProjection:
    """By the components of the graph of answering workers; a solution is Π_I τ itself.

    Attributes:
        tail: one partition of each worker, n where it holds none.
        head: the other, the same where it holds one.
        num_partitions: n.
    """

    tail: Int[AnyArray, " k"]
    head: Int[AnyArray, " k"]
    num_partitions: int = field(metadata={"static": True})

    @property
    def num_workers(self) -> int:
        """K."""
        return self.tail.shape[-1]

    def solve(self, sides: Side, answered: Bool[Array, "k trials"]) -> Solution:
        def of_mask(mask: Bool[Array, " k"]) -> Float[Array, "sides n"]:
            return self._cover(mask).nearest(sides)

        return _graph.over_trials(of_mask, answered)

    def weights(
        self, solution: Float[Array, "size trials"], answered: Bool[Array, "k trials"]
    ) -> Float[Array, "k trials"]:
        def of_mask(
            reached: Float[Array, " n"], mask: Bool[Array, " k"]
        ) -> Float[Array, " k"]:
            return _graph.tree_weights(self._cover(mask), self._ends(), reached)

        return _graph.over_trials(of_mask, solution, answered)

    def _ends(self) -> tuple[Array, Array]:
        return jnp.asarray(self.tail), jnp.asarray(self.head)

    def _cover(self, mask: Bool[Array, " k"]) -> _graph.Cover:
        return _graph.cover(self.num_partitions, self._ends(), mask)


class System(NamedTuple):
    """A plan and its gradients as a design sees them, on the host in float64.

    With G = (1 − ρ) Id + ρττᵀ in suitable coordinates: those of the partitions for a
    similarity, of a square root of G for a Gram matrix (then ρ = 0).

    Attributes:
        projection: onto the rows that answered.
        rows: from targets (m,) to sides (size,); transposed, from solutions to what
            they combine to.
        target: τ (m,), the full gradient.
        similarity: ρ.
        factor: the symmetric F with FF = G of a Gram matrix; None otherwise.
        gram: the Gram matrix as it was given, with nothing added.
    """

    projection: RowProjection | GraphProjection
    rows: sparse.csr_array
    target: Float[np.ndarray, " m"]
    similarity: float
    factor: Float[np.ndarray, "n n"] | None = None
    gram: Float[np.ndarray, "n n"] | None = None

    def multipliers(self, coordinates: Float[np.ndarray, " m"]) -> np.ndarray:
        """λ (n,) of u = Aλ."""
        return coordinates if self.factor is None else self.factor @ coordinates

    def coefficients(self, coordinates: Float[np.ndarray, "m ..."]) -> np.ndarray:
        """C (n, ...) of Fᵀc."""
        if self.factor is None:
            return coordinates
        return np.linalg.solve(self.factor, coordinates)

    def squared_errors(
        self, coefficients: Float[np.ndarray, "n trials"]
    ) -> Float[np.ndarray, " trials"]:
        """(c − 1)ᵀG(c − 1), of the Gram matrix that was given."""
        off = coefficients - 1
        if self.gram is not None:
            return np.einsum("jt,jt->t", off, self.gram @ off)
        rho = self.similarity
        return (1 - rho) * (off**2).sum(axis=0) + rho * off.sum(axis=0) ** 2


def system_of(plan: CodingPlan, gradients: Gradients, structure: Structure) -> System:
    """What a plan of this structure is for these gradients, of its n partitions."""
    encoding = encoding_rows(plan)
    group = np.array(structure.group, np.int32)
    representative = np.array(structure.representative)
    n = plan.num_partitions
    if gradients.matrix is None:
        target, rho = np.ones(n), gradients.similarity or 0.0
        if (
            structure.bandwidth is None
            and plan.num_workers >= _SMALLEST_GRAPH
            and _graph.is_graph_code(plan)
        ):
            tail, head = (np.asarray(end, np.int32) for end in _graph.ends(plan))
            projection = GraphProjection(tail, head, n)
            return System(projection, sparse.eye_array(n, format="csr"), target, rho)
        rows, factor = encoding, None
    else:
        factor = _square_root(gradients.matrix)
        rows = sparse.csr_array(encoding @ factor)
        target, rho = factor.sum(axis=0), 0.0
    norm = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    inverse = np.divide(1, norm, out=np.zeros(norm.size), where=norm > 0)
    unit = sparse.csr_array(sparse.diags_array(inverse) @ rows)[representative]
    overlap = sparse.csr_array(unit @ unit.T)
    bandwidth = structure.bandwidth if gradients.matrix is None else None
    if bandwidth is not None:
        matrix = np.zeros((group.max() + 1, bandwidth + 1))
        for d in range(min(matrix.shape)):
            matrix[d:, d] = overlap.diagonal(-d)
    else:
        matrix = overlap.toarray()
    return System(
        RowProjection(
            group, inverse, matrix, bandwidth is not None, ridge(float_dtype())
        ),
        unit,
        target,
        rho,
        factor,
        gradients.matrix,
    )


def _square_root(gram: Float[np.ndarray, "n n"]) -> Float[np.ndarray, "n n"]:
    """The symmetric F with FFᵀ = G, or G with a small multiple of Id if singular."""
    values, vectors = np.linalg.eigh(gram)
    shift = SINGULAR_SHIFT * values.mean()
    if shift <= 0:
        raise ValueError("gradients must not all be 0")
    if values.min() < shift:
        values = np.maximum(values, 0) + shift
    return (vectors * np.sqrt(values)) @ vectors.T
