"""Solves for codes whose workers overlap in a band: O(k) a mask, not O(k³).

Workers of interval codes and of Scheme II share data with their neighbours in the
order of p alone, those of repetition codes within a group, those of cyclic codes around
a ring. In such an order K = AAᵀ has entries near its diagonal only, and so has its
Cholesky factor: the proximal steps of `jgc.decoders._ridge` are recursions along the
workers, which run on all trials at once.

A long band with few trials is cut in chunks, whose interiors are eliminated side by
side and leave a short band of the rows between them (substructuring): 10^5 steps one
after another become about a thousand.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc.decoders._blocks import in_blocks
from jgc.decoders._ridge import STEPS

# A step of a recursion costs about as much for one lane as for this many.
_LANES = 256
_SHORTEST_CUT = 1024

# Numbers of a step, sides × trials, that a CPU's one core computes faster than XLA
# spreads them over several: 100 workers take 2 µs a mask in blocks of this, 15 at once.
_BLOCK = 1024

# M_{i, i−d} at [i, d], for each trial; 0 where i < d.
Band = Float[Array, "k diagonals trials"]


def solve_banded(
    band: Float[Array, "k diagonals"],
    rhs: Float[Array, "sides k"],
    scale: Float[Array, "k trials"],
    shift: float,
) -> Float[Array, "sides k trials"]:
    """As `ridge.solve_subsets`, for K_{i, i−d} = band[i, d].

    Args:
        band: the diagonal and w lower diagonals of K; 0 where i < d.
        rhs: each b, in the range of K.
        scale: s, 0 outside the subsets.
        shift: λ.
    """
    return in_blocks(
        lambda part: _solve_block(band, rhs, part, shift),
        scale,
        size=_BLOCK // rhs.shape[0],
    )


def _solve_block(
    band: Float[Array, "k diagonals"],
    rhs: Float[Array, "sides k"],
    scale: Float[Array, "k trials"],
    shift: float,
) -> Float[Array, "sides k trials"]:
    scaled = _scaled(band, scale)
    factor = _factored(scaled.at[:, 0].add(jnp.where(scale > 0, shift, 1)))
    target = scale[:, None] * rhs.T[:, :, None]
    y = factor.solve(target)
    for _ in range(STEPS - 1):
        y = y + factor.solve(target - _product(scaled, y))
    return jnp.moveaxis(y, 1, 0)


def _scaled(band: Float[Array, "k diagonals"], scale: Float[Array, "k trials"]) -> Band:
    """SKs, as a band for each trial."""
    diagonals = [band[:, :1] * scale**2]
    for d in range(1, band.shape[1]):
        diagonals.append(band[:, d, None] * scale * _shift(scale, d))
    return jnp.stack(diagonals, axis=1)


def _product(band: Band, y: Float[Array, "k sides trials"]) -> Array:
    product = band[:, :1] * y
    for d in range(1, band.shape[1]):
        below = band[:, d, None]
        product = product + below * _shift(y, d) + _shift(below * y, -d)
    return product


class _Factor(NamedTuple):
    """M = LDLᵀ: `lower` is L below its diagonal, `upper` the same by columns."""

    lower: Float[Array, "k w trials"]
    upper: Float[Array, "k w trials"]
    inverse: Float[Array, "k trials"]

    def solve(self, b: Float[Array, "k sides trials"]) -> Array:
        z = _recur(self.lower, b) * self.inverse[:, None]
        return _recur(self.upper, z, reverse=True)


class _Cut(NamedTuple):
    """M in chunks, each of L rows inside and the w rows that separate it from the next.

    Lanes are chunks × trials. `left` and `right` are what couples the first and last w
    rows inside to the separators before and after; `from_left` and `from_right` are
    those couplings solved for.
    """

    inside: _Factor
    left: Float[Array, "w w chunks trials"]
    right: Float[Array, "w w chunks trials"]
    from_left: Float[Array, "L w chunks trials"]
    from_right: Float[Array, "L w chunks trials"]
    between: _Factor

    def solve(self, b: Float[Array, "k sides trials"]) -> Array:
        size, sides, trials = b.shape
        length, width, chunks, _ = self.from_left.shape
        padded = jnp.pad(b, ((0, chunks * (length + width) - size), (0, 0), (0, 0)))
        rows = padded.reshape(chunks, length + width, sides, trials)
        inner, outer = rows[:, :length], rows[:, length:]
        lanes = jnp.moveaxis(inner, 0, 2).reshape(length, sides, chunks * trials)
        y = self.inside.solve(lanes).reshape(length, sides, chunks, trials)
        after = jnp.einsum("lwct,lsct->cwst", self.right, y[length - width :])
        before = jnp.einsum("lwct,lsct->cwst", self.left, y[:width])
        outer = outer - after - _shift(before, -1)
        z = self.between.solve(outer.reshape(chunks * width, sides, trials))
        z = z.reshape(chunks, width, sides, trials)
        y = (
            y
            - jnp.einsum("lwct,cwst->lsct", self.from_right, z)
            - jnp.einsum("lwct,cwst->lsct", self.from_left, _shift(z, 1))
        )
        whole = jnp.concatenate([jnp.moveaxis(y, 2, 0), z], axis=1)
        return whole.reshape(-1, sides, trials)[:size]


def _factored(band: Band) -> _Factor | _Cut:
    size, diagonals, trials = band.shape
    width = diagonals - 1
    chunks = _LANES // trials
    if width == 0 or size < _SHORTEST_CUT or chunks < 4:
        return _factor(band)
    return _cut(band, chunks)


def _cut(band: Band, chunks: int) -> _Cut:
    size, diagonals, trials = band.shape
    width = diagonals - 1
    length = max(width, -(-size // chunks) - width)
    padding = chunks * (length + width) - size
    # Rows of the identity at the end.
    padded = jnp.pad(band, ((0, padding), (0, 0), (0, 0)))
    padded = padded.at[size:, 0].set(1)
    rows = padded.reshape(chunks, length + width, diagonals, trials)
    rows = jnp.moveaxis(rows, 0, 2)  # (row, d, chunk, trial)

    position = jnp.arange(length)[:, None]
    within = (jnp.arange(diagonals) <= position)[..., None, None]
    inside = _factor(jnp.where(within, rows[:length], 0).reshape(length, diagonals, -1))
    nothing = jnp.zeros((chunks, trials), band.dtype)
    # Row l meets the separator's row s before it at distance l + w − s.
    left = _blocks(
        width, lambda row, s: rows[row, row + width - s] if s >= row else nothing
    )
    # The separator's row s meets the row w − l before its first at distance s + w − l.
    right = _blocks(
        width, lambda row, s: rows[length + s, s + width - row] if row >= s else nothing
    )
    ends = ((0, length - width), (0, 0), (0, 0), (0, 0))
    starts = ((length - width, 0), (0, 0), (0, 0), (0, 0))
    sides = jnp.concatenate([jnp.pad(left, ends), jnp.pad(right, starts)], axis=1)
    solved = inside.solve(sides.reshape(length, 2 * width, -1))
    solved = solved.reshape(length, 2 * width, chunks, trials)
    from_left, from_right = solved[:, :width], solved[:, width:]

    own = -jnp.einsum("lact,lbct->abct", right, from_right[length - width :])
    own = own - _shift_chunks(jnp.einsum("lact,lbct->abct", left, from_left[:width]))
    last = -jnp.einsum("lact,lbct->abct", right, from_left[length - width :])
    between = []
    for a in range(width):
        entries = []
        for d in range(2 * width):
            b = a - d
            if b >= 0:
                entries.append(own[a, b] + rows[length + a, d])
            elif b + width >= 0:
                entries.append(last[a, b + width])
            else:
                entries.append(nothing)
        between.append(jnp.stack(entries))
    # (a, d, chunk, trial) to (chunk, a, d, trial)
    reduced = jnp.moveaxis(jnp.stack(between), 2, 0)
    return _Cut(
        inside,
        left,
        right,
        from_left,
        from_right,
        _factor(reduced.reshape(chunks * width, 2 * width, trials)),
    )


def _blocks(width: int, entry: Callable[[int, int], Array]) -> Array:
    """Of w × w, with what `entry` gives for each row and column."""
    return jnp.stack(
        [jnp.stack([entry(i, j) for j in range(width)]) for i in range(width)]
    )


def _factor(band: Band) -> _Factor:
    width, trials = band.shape[1] - 1, band.shape[2]
    dtype = band.dtype

    # Carried: rows i − 1, …, i − w of L and their 1/D.
    def step(
        carry: tuple[Array, Array], entries: Array
    ) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        rows, inverses = carry
        scaled: dict[int, Array] = {}  # l_{i, i−d} · D_{i−d}
        for d in range(width, 0, -1):
            value = entries[d]
            for t in range(d + 1, width + 1):
                # L_{i, i−t} D_{i−t} L_{i−d, i−t}
                value = value - scaled[t] * rows[d - 1, t - d - 1]
            scaled[d] = value
        pivot = entries[0]
        low = [scaled[d] * inverses[d - 1] for d in range(1, width + 1)]
        for d in range(1, width + 1):
            pivot = pivot - low[d - 1] * scaled[d]
        inverse = 1 / pivot
        new = jnp.stack(low) if width else jnp.zeros((0, trials), dtype)
        return (_push(rows, new), _push(inverses, inverse)), (new, inverse)

    start = (
        jnp.zeros((width, width, trials), dtype),
        jnp.ones((width, trials), dtype),
    )
    lower, inverse = jax.lax.scan(step, start, band)[1]
    # Below row i of the factor, what the backward recursion needs: l_{i+d, i}.
    upper = (
        jnp.stack([_shift(lower[:, d - 1], -d) for d in range(1, width + 1)], axis=1)
        if width
        else lower
    )
    return _Factor(lower, upper, inverse)


def _recur(
    rows: Float[Array, "k w trials"],
    b: Float[Array, "k sides trials"],
    reverse: bool = False,
) -> Float[Array, "k sides trials"]:
    """x_i = b_i − Σ_d rows[i, d] x_{i−d}, or x_{i+d} in reverse."""
    if rows.shape[1] == 0:
        return b

    def step(last: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        coefficients, value = row
        x = value - (coefficients[:, None] * last).sum(axis=0)
        return _push(last, x), x

    start = jnp.zeros((rows.shape[1], *b.shape[1:]), b.dtype)
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


def _shift_chunks(blocks: Float[Array, "w w chunks trials"]) -> Array:
    """What chunk c + 1 says of the separator before it, at chunk c."""
    return jnp.pad(blocks[:, :, 1:], ((0, 0), (0, 0), (0, 1), (0, 0)))
