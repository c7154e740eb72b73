"""Least squares for codes whose workers overlap in a band: O(k) a mask, not O(k³).

Workers of interval codes and of Scheme II share data with their neighbours in the
order of p alone, those of repetition codes within a group, those of cyclic codes around
a ring. In such an order K = AAᵀ has entries near its diagonal only, and so has its
Cholesky factor: the proximal steps of `jgc.decoders._ridge` are recursions along the
workers, which run on all trials at once.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc.decoders._ridge import STEPS, ridge


def solve_banded(
    band: Float[Array, "k w+1"],
    rhs: Float[Array, " k"],
    scale: Float[Array, "k trials"],
) -> Float[Array, "k trials"]:
    """As `ridge.solve_subsets`, for K_{i, i−d} = band[i, d].

    Args:
        band: the diagonal and w lower diagonals of K; 0 where i < d.
        rhs: b, in the range of K.
        scale: s, 0 outside the subsets.
    """
    width = band.shape[1] - 1
    target = scale * rhs[:, None]
    lower, inverse = _factor(band, scale)
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
        scaled = scale * y
        product = band[:, :1] * scaled
        for d in range(1, width + 1):
            below = band[:, d, None]
            product = product + below * _shift(scaled, d) + _shift(below * scaled, -d)
        y = y + solve(target - scale * product)
    return y


def _factor(
    band: Float[Array, "k w+1"], scale: Float[Array, "k trials"]
) -> tuple[Float[Array, "k w trials"], Float[Array, "k trials"]]:
    """L and 1/D of sKs + λ = LDLᵀ, with rows of the identity where s = 0."""
    width, trials = band.shape[1] - 1, scale.shape[1]
    dtype = band.dtype

    # Carried: rows i − 1, …, i − w of L, their 1/D, and their s.
    def step(
        carry: tuple[Array, Array, Array], row: tuple[Array, Array]
    ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        rows, inverses, scales = carry
        entries, own = row
        scaled: dict[int, Array] = {}  # l_{i, i−d} · D_{i−d}
        for d in range(width, 0, -1):
            value = entries[d] * own * scales[d - 1]
            for t in range(d + 1, width + 1):
                # L_{i, i−t} D_{i−t} L_{i−d, i−t}
                value = value - scaled[t] * rows[d - 1, t - d - 1]
            scaled[d] = value
        pivot = jnp.where(own > 0, entries[0] * own**2 + ridge(dtype), 1)
        low = [scaled[d] * inverses[d - 1] for d in range(1, width + 1)]
        for d in range(1, width + 1):
            pivot = pivot - low[d - 1] * scaled[d]
        inverse = 1 / pivot
        new = jnp.stack(low) if width else jnp.zeros((0, trials), dtype)
        carry = (
            _push(rows, new),
            _push(inverses, inverse),
            _push(scales, own),
        )
        return carry, (new, inverse)

    start = (
        jnp.zeros((width, width, trials), dtype),
        jnp.ones((width, trials), dtype),
        jnp.zeros((width, trials), dtype),
    )
    return jax.lax.scan(step, start, (band, scale))[1]


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
