"""Batched solves with the Gram matrix of the workers that answered, any rank.

For a symmetric positive semidefinite K (k, k) and a batch of subsets S, finds the
solution of least norm of K_SS y = b_S by proximal steps

    y ← y + (K_SS + λ)^{-1} (b_S − K_SS y),   from y = 0,

with one Cholesky factor per subset. An eigenvalue σ converges as (λ/(λ + σ))^steps and
eigenvalues that are 0 never enter, so that no rank is decided and nothing branches. With
λ = ε^{2/3} of K's diagonal, rounding in the factor stays below λ.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

_STEPS = 3

# Up to here the elimination is written out as scalar operations over the trials: one
# fused loop, ten times LAPACK's speed on matrices this small. The program grows as
# k³/3, and so does the time to compile it (2 s at 10, 12 s at 20).
_LARGEST_UNROLLED = 12

# Entries of the factors held at once by the LAPACK path, 64 MiB in float64.
_FACTOR_ENTRIES = 1 << 23

# Sizes of K_SS that are compiled, as fractions of k: a batch takes the least that
# holds all its subsets.
_SIZE_STEPS = 8


def solve_subsets(
    gram: Float[Array, "k k"], rhs: Float[Array, " k"], mask: Bool[Array, "k trials"]
) -> Float[Array, "k trials"]:
    """y with K_SS y_S = b_S of least norm, 0 outside S, for each column S of `mask`.

    Args:
        gram: K, with diagonal entries 1, or 0 for workers without data.
        rhs: b, in the range of K.
        mask: the subsets.
    """
    if gram.shape[0] <= _LARGEST_UNROLLED:
        return _solve_unrolled(gram, rhs, mask)
    return _solve_compacted(gram, rhs, mask)


def _ridge(dtype: jnp.dtype) -> float:
    return float(jnp.finfo(dtype).eps) ** (2 / 3)


def _solve_unrolled(gram: Array, rhs: Array, mask: Array) -> Array:
    # LDLᵀ on Python lists of (trials,) vectors. Loops are over matrix entries at
    # trace time; an unanswered worker has the row of the identity.
    k = gram.shape[0]
    zero = jnp.zeros(mask.shape[1:], gram.dtype)
    answered = [mask[i] for i in range(k)]
    diagonal = [
        jnp.where(answered[i], gram[i, i] + _ridge(gram.dtype), 1) for i in range(k)
    ]
    entry = {
        (i, j): jnp.where(answered[i] & answered[j], gram[i, j], zero)
        for i in range(k)
        for j in range(i)
    }
    lower: dict[tuple[int, int], Array] = {}
    schur, pivot_inverse = dict(entry), []
    for j in range(k):
        pivot_inverse.append(1 / diagonal[j])
        for i in range(j + 1, k):
            lower[i, j] = schur[i, j] * pivot_inverse[j]
            for m in range(j + 1, i):
                schur[i, m] = schur[i, m] - lower[i, j] * schur[m, j]
            diagonal[i] = diagonal[i] - lower[i, j] * schur[i, j]

    def solve(b: list[Array]) -> list[Array]:
        y = list(b)
        for i in range(k):
            for j in range(i):
                y[i] = y[i] - lower[i, j] * y[j]
        y = [y[i] * pivot_inverse[i] for i in range(k)]
        for i in reversed(range(k)):
            for j in range(i + 1, k):
                y[i] = y[i] - lower[j, i] * y[j]
        return y

    target = [jnp.where(answered[i], rhs[i], zero) for i in range(k)]
    y = solve(target)
    for _ in range(_STEPS - 1):
        residual = list(target)
        for i in range(k):
            residual[i] = residual[i] - gram[i, i] * jnp.where(answered[i], y[i], zero)
            for j in range(k):
                if j != i:
                    residual[i] = residual[i] - entry[max(i, j), min(i, j)] * y[j]
        y = [a + b for a, b in zip(y, solve(residual), strict=True)]
    return jnp.stack([jnp.where(answered[i], y[i], zero) for i in range(k)])


def _solve_compacted(gram: Array, rhs: Array, mask: Array) -> Array:
    k, trials = mask.shape
    batch = max(1, min(trials, _FACTOR_ENTRIES // (k * k)))
    padding = -trials % batch
    columns = jnp.pad(mask, ((0, 0), (0, padding))).T.reshape(-1, batch, k)
    solved = jax.lax.map(lambda subsets: _solve_batch(gram, rhs, subsets), columns)
    return solved.reshape(-1, k).T[:, :trials]


def _solve_batch(gram: Array, rhs: Array, subsets: Array) -> Array:
    """As `solve_subsets` for subsets (trials, k), trials first as LAPACK wants them."""
    k = gram.shape[0]
    steps = min(_SIZE_STEPS, k)
    sizes = np.ceil(k * np.arange(1, steps + 1) / steps).astype(int)
    largest = subsets.sum(axis=1).max()
    branches = [
        lambda operand, size=int(size): _solve_batch_of_size(*operand, size)
        for size in sizes
    ]
    return jax.lax.switch(
        jnp.searchsorted(jnp.asarray(sizes), largest), branches, (gram, rhs, subsets)
    )


def _solve_batch_of_size(gram: Array, rhs: Array, subsets: Array, size: int) -> Array:
    dtype = gram.dtype
    # Members first; what follows them up to `size` are rows of the identity.
    chosen = jnp.argsort(~subsets, axis=1, stable=True)[:, :size]
    member = jnp.take_along_axis(subsets, chosen, axis=1)
    pair = member[:, :, None] & member[:, None, :]
    matrix = jnp.where(pair, gram[chosen[:, :, None], chosen[:, None, :]], 0)
    eye = jnp.eye(size, dtype=dtype)
    shift = jnp.where(member, _ridge(dtype), 1)
    factor = jnp.linalg.cholesky(
        matrix + shift[:, :, None] * eye, symmetrize_input=False
    )

    def solve(b: Array) -> Array:
        half = jax.lax.linalg.triangular_solve(
            factor, b[..., None], left_side=True, lower=True
        )
        return jax.lax.linalg.triangular_solve(
            factor, half, left_side=True, lower=True, transpose_a=True
        )[..., 0]

    target = jnp.where(member, rhs[chosen], 0)
    y = solve(target)
    for _ in range(_STEPS - 1):
        product = jnp.einsum(
            "bij,bj->bi", matrix, y, precision=jax.lax.Precision.HIGHEST
        )
        y = y + solve(target - product)
    rows = jnp.arange(subsets.shape[0])[:, None]
    return jnp.zeros(subsets.shape, dtype).at[rows, chosen].set(y * member)
