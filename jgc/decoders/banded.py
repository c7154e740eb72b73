"""Least squares for codes whose workers overlap in a band: O(k) a mask, not O(k³).

Workers of interval codes and of Scheme II share data with their neighbours in the
order of p alone, those of repetition codes within a group, those of cyclic codes around
a ring. In such an order K = AAᵀ has entries near its diagonal only, and so has its
Cholesky factor: the proximal steps of `jgc.decoders.ridge` are recursions along the
workers, which run on all trials at once.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy import sparse
from scipy.sparse.csgraph import reverse_cuthill_mckee

from jgc.decoders.ridge import STEPS, ridge
from jgc.plan import CodingPlan

# The recursions are written out over the band, w²/2 products a worker, and so is the
# program. On a CPU they are faster than LAPACK while w² ≤ k.
_LARGEST_BANDWIDTH = 16


def band_order(plans: Sequence[CodingPlan]) -> tuple[Int[np.ndarray, " k"], int]:
    """An order of the workers of small bandwidth for all plans, and that bandwidth.

    By reverse Cuthill–McKee on the pattern of K; on the host.
    """
    k, n = plans[0].num_workers, plans[0].num_partitions
    pattern = sparse.csr_array((k, k), dtype=np.int8)
    for plan in plans:
        holds = np.asarray(plan.edge_coefficient) != 0
        edges = (
            np.asarray(plan.edge_worker)[holds],
            np.asarray(plan.edge_partition)[holds],
        )
        support = sparse.csr_array((np.ones(holds.sum()), edges), shape=(k, n))
        largest = np.bincount(edges[1], minlength=1).max(initial=0)
        if largest > _LARGEST_BANDWIDTH + 1:  # a clique: no order is narrow enough
            return np.arange(k), k - 1
        pattern = pattern + (support @ support.T > 0).astype(np.int8)
    order = reverse_cuthill_mckee(sparse.csr_matrix(pattern), symmetric_mode=True)
    rank = np.empty(k, np.int64)
    rank[order] = np.arange(k)
    row, column = pattern.nonzero()
    return order, int(np.abs(rank[row] - rank[column]).max(initial=0))


def is_narrow(bandwidth: int, num_workers: int) -> bool:
    """Whether `solve_banded` is the faster way."""
    return bandwidth <= _LARGEST_BANDWIDTH and bandwidth**2 <= num_workers


def solve_banded(
    band: Float[Array, "k w+1"], rhs: Float[Array, " k"], mask: Bool[Array, "k trials"]
) -> Float[Array, "k trials"]:
    """As `ridge.solve_subsets`, for K_{i, i−d} = band[i, d].

    Args:
        band: the diagonal and w lower diagonals of K; 0 where i < d.
        rhs: b, in the range of K.
        mask: the subsets.
    """
    width = band.shape[1] - 1
    target = jnp.where(mask, rhs[:, None], 0)
    lower, inverse = _factor(band, mask)
    # Below row i of the factor, what the backward recursion needs: l_{i+d, i}.
    upper = (
        jnp.stack([_shift(lower[:, d - 1], -d) for d in range(1, width + 1)], axis=1)
        if width
        else lower
    )

    def solve(b: Array) -> Array:
        z = _recur(lower, b) * inverse
        return _recur(upper, z, reverse=True)

    y = solve(target)
    for _ in range(STEPS - 1):
        product = band[:, :1] * y
        for d in range(1, width + 1):
            below = band[:, d, None]
            product = product + below * _shift(y, d) + _shift(below * y, -d)
        y = y + solve(jnp.where(mask, target - product, 0))
    return jnp.where(mask, y, 0)


def _factor(
    band: Float[Array, "k w+1"], mask: Bool[Array, "k trials"]
) -> tuple[Float[Array, "k w trials"], Float[Array, "k trials"]]:
    """L and 1/D of K_SS + λ = LDLᵀ, with rows of the identity outside S."""
    width, trials = band.shape[1] - 1, mask.shape[1]
    dtype = band.dtype

    # Carried: rows i − 1, …, i − w of L, their 1/D, and whether they answered.
    def step(
        carry: tuple[Array, Array, Array], row: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        rows, inverses, members = carry
        entries, member = row
        scaled: dict[int, Array] = {}  # l_{i, i−d} · D_{i−d}
        for d in range(width, 0, -1):
            value = jnp.where(member & members[d - 1], entries[d], 0)
            for t in range(d + 1, width + 1):
                # L_{i, i−t} D_{i−t} L_{i−d, i−t}
                value = value - scaled[t] * rows[d - 1, t - d - 1]
            scaled[d] = value
        pivot = jnp.where(member, entries[0] + ridge(dtype), 1)
        low = [scaled[d] * inverses[d - 1] for d in range(1, width + 1)]
        for d in range(1, width + 1):
            pivot = pivot - low[d - 1] * scaled[d]
        inverse = 1 / pivot
        new = jnp.stack(low) if width else jnp.zeros((0, trials), dtype)
        carry = (
            _push(rows, new),
            _push(inverses, inverse),
            _push(members, member),
        )
        return carry, (new, inverse)

    start = (
        jnp.zeros((width, width, trials), dtype),
        jnp.ones((width, trials), dtype),
        jnp.zeros((width, trials), bool),
    )
    return jax.lax.scan(step, start, (band, mask))[1]


def _recur(
    rows: Float[Array, "k w trials"], b: Float[Array, "k trials"], reverse: bool = False
) -> Float[Array, "k trials"]:
    """x_i = b_i − Σ_d rows[i, d] x_{i−d}, or x_{i+d} in reverse."""

    def step(last: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        coefficients, value = row
        x = value - (coefficients * last).sum(axis=0)
        return _push(last, x), x

    start = jnp.zeros(rows.shape[1:], b.dtype)
    return jax.lax.scan(step, start, (rows, b), reverse=reverse)[1]


def _push(window: Array, new: Array) -> Array:
    """`new` in front of the window, its last entry dropped."""
    return jnp.concatenate([new[None], window])[: window.shape[0]]


def _shift(rows: Array, by: int) -> Array:
    """Row i − by at row i, 0 beyond the ends."""
    size = rows.shape[0]
    rest = ((0, 0),) * (rows.ndim - 1)
    if by >= 0:
        return jnp.pad(rows, ((by, 0), *rest))[:size]
    return jnp.pad(rows, ((0, -by), *rest))[-size:]
