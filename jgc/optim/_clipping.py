"""Assumption 1 by force: no partition's gradient longer than √C."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Num, PyTree

from jgc import _checks


def clip_partitions(
    max_norm: float | Float[Array, ""],
) -> optax.GradientTransformation:
    """Scales each partition's gradient to a norm of at most √C = `max_norm`.

        g_j ← g_j · min(1, √C/‖g_j‖),

    the norm over all leaves together, so that Assumption 1, ‖g_j‖² ≤ C, holds and with
    it Lemmas 1 and 2. Goes before the encoding, on gradients with a leading axis over
    partitions (or over anything else that is clipped one by one). Clipped sums are not
    gradients of the loss any more: the bias is what robustness costs. A gradient that
    is not finite is left so.

    Args:
        max_norm: √C > 0; not checked where it is traced.

    Raises:
        ValueError: `max_norm` is not a positive number.

    Example:
        >>> clip = clip_partitions(1.0)
        >>> gradients = jnp.array([[3.0, 4.0], [0.0, 0.5]])
        >>> clip.update(gradients, clip.init(None))[0].round(3).tolist()
        [[0.6..., 0.8...], [0.0, 0.5]]
    """
    limit: float | Array
    if isinstance(max_norm, jax.core.Tracer):
        limit = max_norm
    else:
        limit = _checks.scalar("max_norm", max_norm)
        if limit <= 0:
            raise ValueError(f"max_norm must be above 0, got {max_norm!r}")

    def clip(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        del params
        norm = partition_norms(updates)
        factor = jnp.where(norm > limit, limit / norm, 1.0)
        return jax.tree.map(lambda leaf: leaf * _per_row(factor, leaf), updates)

    return optax.stateless(clip)


def partition_norms(gradients: PyTree[Num[Array, "n ..."]]) -> Float[Array, " n"]:
    """‖g_j‖ over all leaves, in at least float32; squares do not overflow."""
    rows = [
        jnp.abs(leaf.reshape(leaf.shape[0], -1)).astype(
            jnp.promote_types(jnp.float32, leaf.dtype)
        )
        for leaf in jax.tree.leaves(gradients)
    ]
    largest = jnp.stack([row.max(axis=1, initial=0) for row in rows]).max(axis=0)
    unit = jnp.where(largest > 0, largest, 1)
    squares = [((row / unit[:, None]) ** 2).sum(axis=1) for row in rows]
    return unit * jnp.sqrt(jnp.stack(squares).sum(axis=0))


def _per_row(factor: Array, leaf: Array) -> Array:
    return factor.reshape(-1, *(1,) * (leaf.ndim - 1)).astype(leaf.dtype)
