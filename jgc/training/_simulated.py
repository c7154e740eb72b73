"""Coded training on one device, at the cost of plain gradient descent.

With L(D_j) the sum of the weighted losses of partition j, ĝ = Σ_j c_j g_j is the
gradient of Σ_j c_j L(D_j) [ours]. One forward and one backward pass with the weight
c_j on every example of partition j thus gives exactly what the master would have
decoded from the workers that answered, whatever k, n and the code. The loss must be
separable: an example's loss may not depend on the other examples, so no batch
normalisation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

Params: TypeAlias = PyTree
Examples: TypeAlias = PyTree  # of arrays with a leading axis over the N examples
Loss = Callable[[Params, Examples], Float[Array, " N"]]


class TrainState(NamedTuple):
    """All that the next iteration depends on: what a checkpoint must hold."""

    params: Params
    opt_state: optax.OptState
    straggler_state: Any
    iteration: Int[Array, ""]


def init_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    straggler_state: Any = (),
) -> TrainState:
    """The state before the first iteration."""
    # A weakly typed leaf, such as jnp.array(0.5), would compile the step twice.
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), params)
    return TrainState(
        params, optimizer.init(params), straggler_state, jnp.zeros((), jnp.int32)
    )


def coded_gradient(
    loss: Loss,
    params: Params,
    examples: Examples,
    example_weights: Float[Array, "*tracks N"],
    *,
    chunk_size: int | None = None,
) -> tuple[Params, Float[Array, " N"]]:
    """∇ Σ_x weight_x loss_x in one forward and backward pass.

    Several rows of weights, as two-track optimizers need for codes whose second track
    is no multiple of the first, share the forward pass and are pulled back together.

    Args:
        loss: `loss(params, examples)`, the losses of the examples, each its own.
        params: where to take the gradient.
        examples: the data, with a leading axis over the N examples.
        example_weights: for a coded step c_j of the example's partition (times its
            share in the partition's loss); ones for the plain sum. (N,), or (tracks, N)
            for a gradient of each row.
        chunk_size: pass the examples in chunks of this size one after another and
            add the gradients up: less memory, the same gradient up to rounding.

    Returns:
        The gradient, of each leaf with a leading axis over the tracks if there are, and
        the losses of the examples before weighting.
    """
    *tracks, num_examples = example_weights.shape

    def gradient_of(
        params: Params, examples: Examples, weights: Float[Array, "*tracks m"]
    ) -> tuple[Params, Float[Array, " m"]]:
        losses, pull_back = jax.vjp(lambda params: loss(params, examples), params)
        if losses.shape != weights.shape[-1:]:
            raise ValueError(
                f"loss must return one loss an example, of shape {weights.shape[-1:]}, "
                f"got {losses.shape}"
            )
        weights = weights.astype(losses.dtype)
        (gradient,) = (jax.vmap(pull_back) if tracks else pull_back)(weights)
        return gradient, losses

    if chunk_size is None or chunk_size >= num_examples:
        return gradient_of(params, examples, example_weights)

    num_chunks = -(-num_examples // chunk_size)
    padding = num_chunks * chunk_size - num_examples

    def in_chunks(array: Array) -> Array:
        # The tail repeats real examples, so that no loss meets input of a kind that
        # it never sees; their weights are 0.
        padded = jnp.concatenate([array, array[:padding]])
        return padded.reshape(num_chunks, chunk_size, *array.shape[1:])

    def add_chunk(
        total: Params, chunk: tuple[Examples, Array]
    ) -> tuple[Params, Float[Array, " m"]]:
        gradient, losses = gradient_of(params, *chunk)
        return jax.tree.map(jnp.add, total, gradient), losses

    weights = jnp.pad(example_weights, [(0, 0)] * len(tracks) + [(0, padding)])
    weights = weights.reshape(*tracks, num_chunks, chunk_size)
    gradient, losses = jax.lax.scan(
        add_chunk,
        jax.tree.map(lambda p: jnp.zeros((*tracks, *p.shape), p.dtype), params),
        (jax.tree.map(in_chunks, examples), jnp.moveaxis(weights, -2, 0)),
    )
    return gradient, losses.reshape(-1)[:num_examples]


def apply_gradient(
    optimizer: optax.GradientTransformation,
    state: TrainState,
    gradient: Params,
    *,
    has_tracks: bool,
) -> TrainState:
    """The state after an iteration with this gradient.

    Args:
        optimizer: any optax transformation.
        state: before the iteration.
        gradient: decoded; with a leading axis over two tracks if `has_tracks`, of which
            the optimizer gets the second as `second_moment_updates`.
        has_tracks: whether it has that axis.
    """
    optimizer = optax.with_extra_args_support(optimizer)
    extra = {}
    if has_tracks:
        extra["second_moment_updates"] = jax.tree.map(lambda g: g[1], gradient)
        gradient = jax.tree.map(lambda g: g[0], gradient)
    updates, opt_state = optimizer.update(
        gradient, state.opt_state, state.params, **extra
    )
    return state._replace(
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
        iteration=state.iteration + 1,
    )


def make_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    chunk_size: int | None = None,
) -> Callable[..., tuple[TrainState, Float[Array, " N"]]]:
    """A jit-compiled coded step that serves every plan with the same n.

    Args:
        loss: `loss(params, examples)`, the losses of the examples, each its own.
        optimizer: any optax transformation.
        chunk_size: see `coded_gradient`.

    Returns:
        `step(state, examples, partition, coefficients) -> (state, losses)`:
        `partition` (N,) says which of the n partitions an example is in, and
        `coefficients` (n,) is `plan.coefficients(mask)`, or ones for gradient descent;
        (2, n) of `jgc.optim.two_track_coefficients` for a two-track optimizer, which
        gets the second gradient as `second_moment_updates`.
        The objective is the mean loss: L(D_j) is the sum of partition j's losses over
        N. The returned losses (N,) are those at the parameters before the step.
    """

    @jax.jit
    def step(
        state: TrainState,
        examples: Examples,
        partition: Int[Array, " N"],
        coefficients: Float[Array, "*tracks n"],
    ) -> tuple[TrainState, Float[Array, " N"]]:
        weights = coefficients[..., partition] / partition.shape[0]
        gradient, losses = coded_gradient(
            loss, state.params, examples, weights, chunk_size=chunk_size
        )
        has_tracks = coefficients.ndim == 2
        return apply_gradient(optimizer, state, gradient, has_tracks=has_tracks), losses

    return step
