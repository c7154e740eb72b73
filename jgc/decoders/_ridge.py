"""Batched solves with the Gram matrix of the workers that answered, any rank.

For a symmetric positive semidefinite K (k, k) and a batch of subsets S, finds the
solution of least norm of K_SS y = b_S by proximal steps

    y ← y + (K_SS + λ)^{-1} (b_S − K_SS y),   from y = 0,

with one Cholesky factor per subset. An eigenvalue σ converges as (λ/(λ + σ))^steps
and eigenvalues that are 0 never enter, so that no rank is decided and nothing branches.
With λ = ε^{2/3} of K's diagonal, rounding in the factor stays below λ. The error that
is left in ‖A_Sᵀy − 1‖² is of second order: 1e-9 of it after two steps in float64 where
σ ≥ 1e-8.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

STEPS = 2

# Entries of the factors held at once by the LAPACK path, 16 MiB in float64.
_FACTOR_ENTRIES = 1 << 21

# Sizes of K_SS that are compiled, as fractions of k: a batch takes the least that
# holds all its subsets. Small matrices and little work, k³ a trial, are not worth the
# two seconds that it takes to compile them.
_SIZE_STEPS = 8
_SMALLEST_COMPACTED = 32
_LEAST_WORK = 1e8


def solve_subsets(
    gram: Float[Array, "k k"],
    rhs: Float[Array, "sides k"],
    scale: Float[Array, "k trials"],
    shift: float,
) -> Float[Array, "sides k trials"]:
    """The y of least norm with (sKs) y = s b, 0 where s = 0, per column s of `scale`.

    Args:
        gram: K, with diagonal entries 1, or 0 for workers without data.
        rhs: each b, in the range of K.
        scale: s ≥ 0; 1 on a subset and 0 elsewhere, or √m for m rows in place of one.
        shift: λ, at least `ridge` of the precision.
    """
    k, trials = scale.shape
    batch = max(1, min(trials, _FACTOR_ENTRIES // (k * max(k, rhs.shape[0]))))
    padding = -trials % batch
    columns = jnp.pad(scale, ((0, 0), (0, padding))).T.reshape(-1, batch, k)
    is_much = k >= _SMALLEST_COMPACTED and k**3 * trials >= _LEAST_WORK
    steps = _SIZE_STEPS if is_much else 1
    solved = jax.lax.map(
        lambda scales: _solve_batch(gram, rhs, scales, shift, steps=steps), columns
    )
    return jnp.moveaxis(solved.reshape(-1, k, rhs.shape[0])[:trials], 0, 2).swapaxes(
        0, 1
    )


def ridge(dtype: jnp.dtype) -> float:
    """λ for a K with diagonal 1."""
    return float(jnp.finfo(dtype).eps) ** (2 / 3)


def _solve_batch(
    gram: Array, rhs: Array, scales: Array, shift: float, *, steps: int
) -> Array:
    """As `solve_subsets`, (trials, k, sides) for scales (trials, k), as in LAPACK."""
    k = gram.shape[0]
    sizes = np.ceil(k * np.arange(1, steps + 1) / steps).astype(int)
    largest = (scales > 0).sum(axis=1).max()
    branches = [
        partial(_solve_batch_of_size, shift=shift, size=int(size)) for size in sizes
    ]
    return jax.lax.switch(
        jnp.searchsorted(jnp.asarray(sizes), largest), branches, gram, rhs, scales
    )


def _solve_batch_of_size(
    gram: Array, rhs: Array, scales: Array, *, shift: float, size: int
) -> Array:
    dtype = gram.dtype
    # Members first; what follows them up to `size` are rows of the identity.
    chosen = jnp.argsort(scales <= 0, axis=1, stable=True)[:, :size]
    scale = jnp.take_along_axis(scales, chosen, axis=1)
    pair = scale[:, :, None] * scale[:, None, :]
    matrix = pair * gram[chosen[:, :, None], chosen[:, None, :]]
    eye = jnp.eye(size, dtype=dtype)
    diagonal = jnp.where(scale > 0, shift, 1)
    factor = jnp.linalg.cholesky(
        matrix + diagonal[:, :, None] * eye, symmetrize_input=False
    )

    def solve(b: Array) -> Array:
        half = jax.lax.linalg.triangular_solve(factor, b, left_side=True, lower=True)
        return jax.lax.linalg.triangular_solve(
            factor, half, left_side=True, lower=True, transpose_a=True
        )

    target = scale[:, :, None] * rhs.T[chosen]
    y = solve(target)
    for _ in range(STEPS - 1):
        product = jnp.matmul(matrix, y, precision=jax.lax.Precision.HIGHEST)
        y = y + solve(target - product)
    rows = jnp.arange(scales.shape[0])[:, None]
    solved = jnp.zeros((*scales.shape, rhs.shape[0]), dtype)
    return solved.at[rows, chosen].set(y)
