"""What a loss is: the losses of examples, and what else they depend on.

The plain form is a function `loss(params, examples) -> (N,)`, the losses of N examples
of which each depends on its own example alone. `partition_loss` marks a function of the
examples of one partition, which may look at all of them (batch normalisation,
contrastive losses), be random (dropout, augmentation), keep a state (batch statistics)
and report more than losses. Neither may mix partitions: a partition's gradient must be
the same whoever computes it, alone or among others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jgc.training._partitions import Batch

Params: TypeAlias = PyTree
ModelState: TypeAlias = PyTree
Examples: TypeAlias = PyTree  # of arrays with a leading axis over examples


class Outputs(NamedTuple):
    """What a `partition_loss` may return in place of losses alone.

    Attributes:
        losses: of the b examples (b,).
        model_state: the state after this partition, of the shapes that went in; None:
            unchanged.
        metrics: named numbers of the partition, averaged over partitions in a report.
    """

    losses: Float[Array, " b"]
    model_state: ModelState = None
    metrics: dict[str, Float[Array, ""]] = {}  # noqa: RUF012


@dataclass(frozen=True, eq=False)  # itself alone, so that any function will do
class Loss:
    """A function, and how it is called; from `partition_loss`, or of a plain function.

    Attributes:
        function: the user's.
        is_separable: `function(params, examples)`, each loss of its own example.
        takes_key: it is called with `key=`.
        has_state: it is called with `model_state=`.
        takes_is_real: it is called with `is_real=` (b,), which of the partition's
            examples are no repeats that fill it up.
    """

    function: Callable[..., Any]
    is_separable: bool = True
    takes_key: bool = False
    has_state: bool = False
    takes_is_real: bool = False


# loss(params, examples) -> (N,), or of `partition_loss`.
LossLike: TypeAlias = Loss | Callable[[Params, Examples], Float[Array, " N"]]


def partition_loss(
    function: Callable[..., Any], *, key: bool = False, model_state: bool = False
) -> Loss:
    """A loss of the examples of one partition, which may depend on one another.

    It is called as `function(params, examples)`, with `examples` of leading axis b,
    those of one partition that an iteration takes, and returns their losses (b,) or
    `Outputs`. Partitions are vmapped, so that a pass costs what it would cost together.

    Args:
        function: pure and jit-compatible.
        key: also pass `key=`, a key of the iteration and the partition: every worker
            that holds the partition draws the same, on every path.
        model_state: also pass `model_state=`, the state of the training state, such as
            batch statistics or a counter. What `Outputs` return takes its place by this
            rule: the mean over the partitions that a worker which answered holds, each
            counted once, of what each made of the state before the iteration; of
            integers, such as counters, the largest. If nobody answered, it stays.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> def loss(params, examples, key):  # noise of its own in each partition
        ...     noise = jax.random.normal(key, examples.shape)
        ...     return (examples + 0.1 * noise - params) ** 2
        >>> partition_loss(loss, key=True).is_separable
        False
    """
    return Loss(function, is_separable=False, takes_key=key, has_state=model_state)


def as_loss(loss: LossLike) -> Loss:
    """What a `loss` argument means.

    Raises:
        ValueError: it is neither a function nor of `partition_loss`.
    """
    if isinstance(loss, Loss):
        return loss
    if not callable(loss):
        raise ValueError(
            "loss must be a function loss(params, examples) or of partition_loss, got "
            f"{loss!r}"
        )
    return Loss(loss)


def own_arguments(loss: Loss, key: Array | None, batch: Batch) -> dict[str, Any]:
    """What a loss gets of each partition beside its examples, leaves (m, …).

    Args:
        loss: of the user.
        key: of the iteration, where the loss takes one.
        batch: of m partitions.

    Raises:
        ValueError: a loss that takes a key without one.
    """
    own: dict[str, Any] = {}
    if loss.takes_key:
        if key is None:
            raise ValueError("loss takes a key: pass that of the iteration as key=")
        own["key"] = jax.vmap(lambda number: jax.random.fold_in(key, number))(
            jnp.asarray(batch.partition)
        )
    if loss.takes_is_real:
        own["is_real"] = jnp.asarray(batch.weights) > 0
    return own


def outputs_of(
    loss: Loss,
    params: Params,
    examples: Examples,
    own: dict[str, Any],
    state: ModelState,
) -> Outputs:
    """What a loss gives: of one partition's examples, or where separable of any.

    Args:
        loss: of the user.
        params: where.
        examples: leaves (b, …).
        own: of the partition, see `own_arguments`.
        state: of the model.
    """
    extra = {**own, "model_state": state} if loss.has_state else own
    found = loss.function(params, examples, **extra)
    size = jax.tree.leaves(examples)[0].shape[0]
    if loss.is_separable:
        return Outputs(_checked(found, size, "loss(params, examples)"), state)
    outputs = found if isinstance(found, Outputs) else Outputs(found)
    losses = _checked(outputs.losses, size, "a partition_loss")
    new = state if outputs.model_state is None else outputs.model_state
    _check_state(state, new)
    return Outputs(losses, new, outputs.metrics)


def evaluate(
    loss: Loss,
    params: Params,
    examples: Examples,
    own: dict[str, Any],
    state: ModelState,
) -> tuple[Float[Array, "..."], tuple[ModelState, dict[str, Array]]]:
    """Losses, and by partition the new states and the metrics.

    Args:
        loss: of the user.
        params: where.
        examples: (N, …) where the loss is separable, else (m, b, …).
        own: of the partitions, see `own_arguments`.
        state: of the model.
    """
    if loss.is_separable:
        return outputs_of(loss, params, examples, own, state).losses, (None, {})
    outputs = jax.vmap(lambda e, o: outputs_of(loss, params, e, o, state))(
        examples, own
    )
    return outputs.losses, (outputs.model_state, outputs.metrics)


def check_loss(
    loss: Loss, params: Params, batch: Batch, key: Array, state: ModelState
) -> None:
    """Runs the loss once on a few examples before any training.

    A separable one is compared alone and in company: batch normalisation and division
    by the number of examples mix examples, and with them partitions. Parameters that
    are all zero, such as those of a last layer, would hide it, and are moved.

    Raises:
        ValueError: what it returns is no loss an example, or an example's loss depends
            on the others.
    """
    if not loss.is_separable:
        few = jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), batch)
        own = own_arguments(loss, key, few)
        jax.eval_shape(
            lambda p, e, s: evaluate(loss, p, e, own, s), params, few.examples, state
        )
        return
    flat = jax.tree.map(
        lambda leaf: jnp.reshape(leaf, (-1, *np.shape(leaf)[2:])), batch.examples
    )
    count = jax.tree.leaves(flat)[0].shape[0]
    params = jax.tree.map(_not_zero, params)
    alone = _losses(loss, params, jax.tree.map(lambda leaf: leaf[:1], flat))
    among = _losses(
        loss, params, jax.tree.map(lambda leaf: leaf[: min(count, 4)], flat)
    )
    first, company = float(alone[0]), float(among[0])
    tolerance = 1e-3 if alone.dtype in (jnp.float32, jnp.float64) else 5e-2
    if abs(first - company) > tolerance * max(abs(first), abs(company), 1e-3):
        raise ValueError(
            f"loss mixes examples: the first one's is {first:.6g} alone and "
            f"{company:.6g} among others, so that partitions would not have gradients "
            "of their own; use frozen or group normalisation, divide by no count of "
            "examples, or give jgc.training.partition_loss(loss), which sees one "
            "partition at a time"
        )


def _not_zero(leaf: Array) -> Array:
    if leaf.any():
        return leaf
    waves = 0.1 * np.cos(np.arange(leaf.size)).reshape(leaf.shape)
    return jnp.asarray(waves, leaf.dtype)


@partial(jax.jit, static_argnums=0)  # compiled once for all runs of a path
def _losses(loss: Loss, params: Params, examples: Examples) -> Float[Array, " m"]:
    return evaluate(loss, params, examples, {}, ())[0]


def _checked(losses: Any, size: int, what: str) -> Array:
    if not isinstance(losses, jax.Array | np.ndarray):
        raise ValueError(
            f"{what} must return an array of one loss an example, got "
            f"{type(losses).__name__}; partition_loss may return Outputs(…)"
        )
    if losses.shape != (size,) or not jnp.issubdtype(losses.dtype, jnp.floating):
        raise ValueError(
            f"{what} must return one loss an example, of shape ({size},), got "
            f"{losses.dtype} of shape {losses.shape}"
        )
    return jnp.asarray(losses)


def _check_state(before: ModelState, after: ModelState) -> None:
    def shapes(tree: ModelState) -> tuple[Any, list[Any]]:
        leaves, structure = jax.tree.flatten(tree)
        return structure, [(jnp.shape(x), jnp.result_type(x)) for x in leaves]

    if shapes(before) != shapes(after):
        raise ValueError(
            "Outputs.model_state must have the shapes of the model_state that went in, "
            f"{shapes(before)}; got {shapes(after)}"
        )
