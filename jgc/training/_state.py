"""What an iteration starts from, and what it tells."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from jgc._checks import count
from jgc.optim import Tracks, checked_update
from jgc.training._loss import ModelState, Params


class TrainState(NamedTuple):
    """All that the next iteration depends on: what a checkpoint must hold.

    Attributes:
        params: a pytree of arrays.
        model_state: of the model beside its parameters, such as batch statistics; ().
        opt_state: of the optax transformation.
        stragglers: of the straggler model.
        code: of what follows the workers and re-designs the code; ().
        similarity: of what follows ρ, `jgc.gradients.Similarity`; ().
        memory: what messages through a biased codec left over, by worker (k, d); (),
            also where worker processes keep it.
        key: of the run; every iteration's keys come from it and from its number.
        iteration: how many have been made.
    """

    params: Params
    model_state: ModelState
    opt_state: optax.OptState
    stragglers: Any
    code: Any
    similarity: Any
    memory: Any
    key: Array
    iteration: Int[Array, ""]


class Report(NamedTuple):
    """What an iteration saw, the same on every path.

    Attributes:
        loss: the mean loss at the parameters before the update, over the examples of
            `partition_losses` that are known; NaN if none is.
        answered: I_i (k,), whose messages were decoded.
        seconds: that the iteration took.
        partition_losses: the mean loss of each partition's examples (n,); NaN where no
            worker that sent its losses holds it. A path that simulates its stragglers
            knows those of all workers.
        metrics: of the loss, by name, the mean over the partitions known.
        similarity: ρ of the partition gradients, estimated in the iterations before,
            which this one was decoded by; NaN where it is not followed.
        details: what else a path saw.
    """

    loss: float
    answered: Bool[np.ndarray, " k"]
    seconds: float
    partition_losses: Float[np.ndarray, " n"]
    metrics: dict[str, float]
    similarity: float = float("nan")
    details: Any = None


class RunKeys(NamedTuple):
    """Independent streams of a run's key."""

    stragglers: Array
    batches: Array
    loss: Array
    messages: Array
    probes: Array


def run_keys(key: Array) -> RunKeys:
    """The streams of the run's key; those of an iteration have its number folded in."""
    return RunKeys(*(jax.random.fold_in(key, stream) for stream in range(5)))


def init_state(
    key: Array,
    params: Params,
    optimizer: optax.GradientTransformation,
    *,
    model_state: ModelState = (),
    stragglers: Any = (),
    code: Any = (),
    similarity: Any = (),
    memory: Any = (),
) -> TrainState:
    """The state before the first iteration.

    Args:
        key: of the run, a JAX random key.
        params: to start from.
        optimizer: any optax transformation.
        model_state: to start from, where the loss has one.
        stragglers: of a straggler model.
        code: of `Following`.
        similarity: of `jgc.gradients.following`.
        memory: of a biased codec.

    Raises:
        ValueError: what is no optax transformation, or parameters that are integers.
    """
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ValueError(
            "optimizer must be an optax transformation, such as optax.sgd(0.1), got "
            f"{optimizer!r}"
        )

    # A weakly typed leaf, such as jnp.array(0.5), would compile the step twice.
    def strong(leaf: Any) -> Array:
        return jnp.asarray(leaf, jnp.result_type(leaf))

    params = jax.tree.map(strong, params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not jnp.issubdtype(leaf.dtype, jnp.inexact):
            raise ValueError(
                "params must be of floating point, as they are differentiated; got "
                f"params{jax.tree_util.keystr(path)} of {leaf.dtype}; what is not "
                "trained is model_state"
            )
    return TrainState(
        params=params,
        model_state=jax.tree.map(strong, model_state),
        opt_state=optimizer.init(params),
        stragglers=stragglers,
        code=code,
        similarity=similarity,
        memory=memory,
        key=key,
        iteration=jnp.zeros((), jnp.int32),
    )


def apply_gradient(
    optimizer: optax.GradientTransformation,
    state: TrainState,
    gradient: Params,
    *,
    num_tracks: int,
) -> TrainState:
    """The state after an iteration with this gradient.

    Args:
        optimizer: any optax transformation.
        state: before the iteration.
        gradient: decoded; with a leading axis over the tracks if there are two, which
            the optimizer gets as `jgc.optim.Tracks`.
        num_tracks: 1 or 2.

    Raises:
        ValueError: two tracks for an optimizer of one.
    """
    if num_tracks == 2:
        gradient = jax.tree.map(lambda g: Tracks(g[0], g[1]), gradient)
    updates, opt_state = checked_update(
        optimizer, gradient, state.opt_state, state.params
    )
    return state._replace(
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
        iteration=state.iteration + 1,
    )


def overall(
    partition_losses: Float[np.ndarray, " n"],
    sizes: Int[np.ndarray, " n"],
    is_known: Bool[np.ndarray, " n"],
) -> float:
    """The mean over the examples of the partitions known; NaN if one of them is."""
    known = is_known & (sizes > 0)
    total = sizes[known].sum()
    if total == 0:
        return float("nan")
    return float((partition_losses[known] * sizes[known]).sum() / total)


def positive_chunk(chunk_size: int | None) -> int | None:
    """Checked before any work."""
    return None if chunk_size is None else count("chunk_size", chunk_size)
