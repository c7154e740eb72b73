"""The gradient that the master decodes, by one forward and one backward pass.

With L(D_j) the weighted losses of partition j, ĝ = Σ_j c_j g_j is the gradient of
Σ_j c_j L(D_j) [ours]: a pass with the weight c_j on every example of partition j gives
exactly what the master would have decoded from the workers that answered, whatever k, n
and the code. A worker's message f_i = Σ_j a_ij g_j (4) is the same with a_ij for c_j.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from jgc._plan import AnyArray
from jgc.training._loss import (
    Examples,
    Loss,
    LossLike,
    ModelState,
    Params,
    as_loss,
    evaluate,
    own_arguments,
)
from jgc.training._partitions import Batch


class Pass(NamedTuple):
    """What one pass over the m partitions of a batch gives.

    Attributes:
        gradient: Σ_j c_j g_j, of the parameters' shapes; of several rows of
            coefficients with a leading axis over the tracks.
        losses: the mean loss of each partition's examples (m,).
        model_states: what each partition made of the model's state, leaves (m, …);
            None where the loss has none.
        metrics: of each partition, by name (m,).
    """

    gradient: Params
    losses: Float[Array, " m"]
    model_states: ModelState
    metrics: dict[str, Float[Array, " m"]]


def coded_gradient(
    loss: LossLike,
    params: Params,
    batch: Batch,
    coefficients: Float[AnyArray, "*tracks m"],
    *,
    key: Array | None = None,
    model_state: ModelState = (),
    chunk_size: int | None = None,
    num_held: Int[Array, ""] | None = None,
) -> Pass:
    """∇ Σ_j c_j L(D_j) in one forward and one backward pass.

    Several rows of coefficients, as decoders of two tracks have, share the forward pass
    and are pulled back together.

    Args:
        loss: `loss(params, examples)`, or of `partition_loss`.
        params: where to take the gradient.
        batch: of m partitions, of `Partitions.batch`.
        coefficients: c (m,) of the batch's partitions; (2, m) for a gradient of each
            row.
        key: of the iteration, where the loss takes one; a partition's number is folded
            in.
        model_state: of the model, where the loss has one.
        chunk_size: pass the examples in chunks of this many one after another and add
            the gradients up: less memory, the same gradient up to rounding. Of a
            `partition_loss` as many whole partitions as fit, at least one.
        num_held: how many of the m partitions count, the first ones; the others cost
            nothing where there are chunks, and must have coefficients 0.

    Raises:
        ValueError: what the loss returns is no loss an example, a loss that takes a key
            without one, or examples of a `partition_loss` that fill a batch up.

    Example:
        >>> from jgc.training import arrays, partitioned
        >>> cut = partitioned(arrays(jnp.arange(4.0)), [0, 0, 1, 1], num_partitions=2)
        >>> batch = cut.batch(jax.random.key(0), 0)
        >>> c = jnp.array([1.0, 0.0])  # the second partition is lost
        >>> float(coded_gradient(lambda w, x: w * x, 1.0, batch, c).gradient)
        0.25
    """
    loss = as_loss(loss)
    coefficients = jnp.asarray(coefficients)
    m, b = batch.weights.shape
    if coefficients.shape[-1:] != (m,) or coefficients.dtype == bool:
        raise ValueError(
            f"coefficients must be numbers, one for each of the batch's {m} "
            f"partitions, as plan.coefficients(weights) gives them; got "
            f"{coefficients.dtype} of shape {coefficients.shape}"
        )
    weights = coefficients[..., None] * batch.weights
    own = own_arguments(loss, key, batch)
    if loss.is_separable:
        # The examples of all partitions in one row: what they have in common is the
        # pass alone, and a chunk may end anywhere.
        examples = jax.tree.map(
            lambda leaf: jnp.reshape(leaf, (m * b, *leaf.shape[2:])), batch.examples
        )
        weights = weights.reshape(*coefficients.shape[:-1], m * b)
        units, per_chunk, held = m * b, chunk_size, b
    else:
        examples, units, held = batch.examples, m, 1
        per_chunk = None if chunk_size is None else max(1, chunk_size // b)
    items, tracks = (examples, own), coefficients.ndim - 1
    run = partial(_gradient_of, loss, params, state=model_state)
    if per_chunk is None or per_chunk >= units:
        gradient, (losses, states, metrics) = run(items, weights)
    else:
        count = units if num_held is None else num_held * held
        gradient, (losses, states, metrics) = _in_chunks(
            run,
            items,
            jnp.moveaxis(weights, tracks, 0),
            units,
            per_chunk,
            count,
            tracks,
        )
    is_real = batch.weights > 0
    number = jnp.maximum(is_real.sum(axis=1), 1)
    means = jnp.where(is_real, losses.reshape(m, b), 0).sum(axis=1) / number
    return Pass(gradient, means, states, metrics)


def mean_state(
    before: ModelState,
    states: ModelState,
    counts: Bool[Array, " m"],
    *,
    axis_name: Any = None,
) -> ModelState:
    """The model's state after an iteration, see `partition_loss`.

    Args:
        before: the iteration.
        states: what each partition made of it, leaves (m, …).
        counts: whether a partition reached the master; each on one device only.
        axis_name: of `shard_map`, where partitions are spread over devices.
    """
    total = counts.sum()
    total = total if axis_name is None else jax.lax.psum(total, axis_name)

    def of_leaf(old: Array, new: Array) -> Array:
        old = jnp.asarray(old)
        shape = (-1,) + (1,) * (new.ndim - 1)
        seen = counts.reshape(shape)
        if jnp.issubdtype(new.dtype, jnp.inexact):
            found = jnp.where(seen, new, 0).sum(axis=0)
            found = found if axis_name is None else jax.lax.psum(found, axis_name)
            found = found / jnp.maximum(total, 1)
        else:
            # `old` in the place of what is not seen would hold up what goes down.
            is_bool = new.dtype == bool
            lowest = False if is_bool else jnp.iinfo(new.dtype).min
            found = jnp.where(seen, new, lowest).max(axis=0)
            found = found if axis_name is None else jax.lax.pmax(found, axis_name)
        return jnp.where(total > 0, found, old).astype(old.dtype)

    return jax.tree.map(of_leaf, before, states)


def _gradient_of(
    loss: Loss,
    params: Params,
    items: tuple[Examples, dict[str, Any]],
    weights: Float[Array, "..."],
    *,
    state: ModelState,
) -> tuple[Params, tuple[Array, ModelState, dict[str, Array]]]:
    def losses_of(params: Params) -> tuple[Array, Any]:
        return evaluate(loss, params, *items, state)

    losses, pull_back, aux = jax.vjp(losses_of, params, has_aux=True)
    weights = weights.astype(losses.dtype)
    has_tracks = weights.ndim > losses.ndim
    (gradient,) = (jax.vmap(pull_back) if has_tracks else pull_back)(weights)
    return gradient, (losses, *aux)


def _in_chunks(
    run: Callable[..., Any],
    items: PyTree,
    weights: Float[Array, "units ..."],
    units: int,
    size: int,
    count: int | Array,
    tracks: int,
) -> tuple[Params, tuple[Array, ModelState, dict[str, Array]]]:
    """`run` on chunks of `size` units one after another, as many as hold `count`.

    `weights` has the units first, where `run` takes them behind its 0 or 1 `tracks`.
    """
    chunks = math.ceil(units / size)
    # The tail repeats real examples, so that no loss meets input of a kind that it
    # never sees; their weights are 0.
    rows = jnp.arange(chunks * size) % units

    def split(array: Array) -> Array:
        return jnp.asarray(array)[rows].reshape(chunks, size, *array.shape[1:])

    is_real = jnp.arange(chunks * size) < units
    is_real = is_real.reshape(chunks, size, *(1,) * (weights.ndim - 1))
    parts = jax.tree.map(split, items), jnp.where(is_real, split(weights), 0)

    def of_chunk(t: Array | int) -> Any:
        own, own_weights = jax.tree.map(lambda leaf: leaf[t], parts)
        return run(own, jnp.moveaxis(own_weights, 0, tracks))

    gradient, outputs = jax.eval_shape(of_chunk, 0)
    start = (
        # Sums of many chunks are float32 or wider.
        jax.tree.map(
            lambda s: jnp.zeros(s.shape, jnp.promote_types(s.dtype, jnp.float32)),
            gradient,
        ),
        jax.tree.map(lambda s: jnp.zeros((chunks, *s.shape), s.dtype), outputs),
    )

    def add(t: Array, total: Any) -> Any:
        part, part_outputs = of_chunk(t)
        return (
            jax.tree.map(jnp.add, total[0], part),
            jax.tree.map(lambda all_, one: all_.at[t].set(one), total[1], part_outputs),
        )

    trips = chunks if isinstance(count, int) else -(-count // size)
    total, outputs = jax.lax.fori_loop(0, trips, add, start)
    total = jax.tree.map(lambda g, s: g.astype(s.dtype), total, gradient)
    return total, jax.tree.map(
        lambda leaf: leaf.reshape(chunks * size, *leaf.shape[2:])[:units], outputs
    )
