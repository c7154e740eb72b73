"""Encoding and decoding as optax transformations."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool

from jgc._plan import CodingPlan


def decode(plan: CodingPlan | None = None) -> optax.GradientTransformationExtraArgs:
    """Replaces the workers' messages by ĝ = Σ_i I_i w_i f_i (5).

    The transformation's `update` takes

    - messages, a pytree of arrays with a leading axis over the k workers, and the extra
      argument `answered` (k,), true for the workers that answered; or
    - without `answered` a gradient that is decoded already, which passes through.

    The extra argument `plan` takes the place of the plan given here: a re-designed one,
    or one whose weights depend on the answered,
    `dataclasses.replace(plan, weights=decoders.least_squares(plan, answered))`.

    Args:
        plan: the code; None if every `update` brings one.

    Raises:
        ValueError: in `update`, messages without `answered` (seen by their shape, where
            `params` are passed), `answered` without a plan, or with a gradient that has
            no leading axis of k.

    Example:
        >>> optimizer = optax.chain(decode(plan), optax.adam(1e-3))
        >>> state = optimizer.init(params)
        >>> updates, state = optimizer.update(
        ...     messages, state, params, answered=answered
        ... )
    """

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        answered: Bool[Array, " k"] | None = None,
        plan: CodingPlan | None = plan,
        **extra: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        del extra
        if answered is None:
            _check_is_decoded(updates, params)
            return updates, state
        return decode_messages(plan, updates, answered), state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def encode(plan: CodingPlan) -> optax.GradientTransformation:
    """Replaces the gradients of the n partitions by the k messages f_i = Σ_j a_ij g_j.

    For simulations that want every message: otherwise `jgc.training.coded_gradient`
    reaches the same ĝ in one backward pass.

    Args:
        plan: the code.

    Example:
        >>> optimizer = optax.chain(
        ...     clip_partitions(1.0), encode(plan), coded_sgd(plan, 0.1)
        ... )
        >>> updates, state = optimizer.update(
        ...     partition_gradients, state, answered=answered
        ... )
    """
    return optax.stateless(lambda updates, params: plan.encode(updates))


def decode_messages(
    plan: CodingPlan | None, messages: optax.Updates, answered: Bool[Array, " k"]
) -> optax.Updates:
    """`plan.decode` with errors for what optimizers are easily passed instead."""
    if plan is None:
        raise ValueError(
            "answered needs the plan that it belongs to: give it to the constructor, "
            "or to update as plan="
        )
    k = plan.num_workers
    if jnp.shape(answered) != (k,):
        raise ValueError(f"answered must have shape ({k},), got {jnp.shape(answered)}")
    for leaf in jax.tree.leaves(messages):
        if jnp.shape(leaf)[:1] != (k,):
            raise ValueError(
                f"messages need a leading axis over the {k} workers, got shape "
                f"{jnp.shape(leaf)}; pass no answered= with a gradient that is decoded"
            )
    return plan.decode(messages, answered)


def _check_is_decoded(updates: optax.Updates, params: optax.Params | None) -> None:
    if params is None:
        return
    pairs = zip(jax.tree.leaves(updates), jax.tree.leaves(params), strict=True)
    for update, param in pairs:
        if jnp.shape(update) != jnp.shape(param):
            raise ValueError(
                f"without answered updates must have the shape of their parameter, "
                f"{jnp.shape(param)}, got {jnp.shape(update)}; messages need answered="
            )
