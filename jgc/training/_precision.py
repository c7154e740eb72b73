"""Losses computed in lower precision, with parameters and gradients in their own."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, PyTree

from jgc.training._loss import Examples, Loss, LossLike, Outputs, Params, as_loss


def compute_in(dtype: DTypeLike, loss: LossLike) -> Loss:
    """The same loss, computed in `dtype`, such as `jnp.bfloat16`.

    Parameters and examples that are floating-point numbers are rounded to `dtype` when
    the loss is taken, and the losses returned in float32. The gradient has the
    precision of the parameters, so that steps add up and apply gradients in it. A
    model's state is passed on as it is.

    A loss that knows which of its parts need more, as that of
    `jgc.detection.ssdlite(dtype=…)` does, is better left as it is.

    Example:
        >>> half = compute_in(jnp.bfloat16, lambda params, x: (params * x) ** 2)
        >>> half.function(jnp.float32(1.001), jnp.ones(1)).tolist()
        [1.0]
    """
    loss = as_loss(loss)

    def in_dtype(tree: PyTree) -> PyTree:
        def cast(leaf: Array) -> Array:
            is_float = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
            return jnp.asarray(leaf, dtype) if is_float else leaf

        return jax.tree.map(cast, tree)

    def lower(params: Params, examples: Examples, **extra: Any) -> Any:
        found = loss.function(in_dtype(params), in_dtype(examples), **extra)
        if isinstance(found, Outputs):
            return found._replace(losses=found.losses.astype(jnp.float32))
        # What is no array is refused by whoever takes the loss, with a reason.
        return found.astype(jnp.float32) if hasattr(found, "astype") else found

    return dataclasses.replace(loss, function=lower)
