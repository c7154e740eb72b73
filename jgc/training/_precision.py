"""Losses computed in lower precision, with parameters and gradients in their own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Float, PyTree

from jgc.training._simulated import Examples, Loss, Params


def compute_in(dtype: DTypeLike, loss: Loss) -> Loss:
    """The same loss, computed in `dtype`, such as `jnp.bfloat16`.

    Parameters and examples that are floating-point numbers are rounded to `dtype` when
    the loss is taken, and the losses returned in float32. The gradient has the
    precision of the parameters, so that steps add up and apply gradients in it.

    A loss that knows which of its parts need more, as that of
    `jgc.detection.ssdlite(dtype=…)` does, is better left as it is.
    """

    def in_dtype(tree: PyTree) -> PyTree:
        def cast(leaf: Array) -> Array:
            is_float = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
            return jnp.asarray(leaf, dtype) if is_float else leaf

        return jax.tree.map(cast, tree)

    def lower(params: Params, examples: Examples) -> Float[Array, " N"]:
        return loss(in_dtype(params), in_dtype(examples)).astype(jnp.float32)

    return lower
