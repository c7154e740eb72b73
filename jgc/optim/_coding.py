"""Encoding and decoding as optax transformations."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Bool, Float

from jgc import decoders
from jgc._plan import AnyArray, CodingPlan
from jgc._plan import decode as decode_by_weights
from jgc.decoders import Decoder
from jgc.optim._tracks import Tracks, check_shapes, has_tracks


def decode(
    plan: CodingPlan | None = None, decoder: Decoder | None = None
) -> optax.GradientTransformationExtraArgs:
    """Replaces the workers' messages by ĝ = Σ_i v_i f_i, with v of a decoder (5).

    `jgc.decode(messages, decoder(plan, answered))`, as `Tracks` if the decoder has two
    tracks. The transformation's `update` takes

    - messages, a pytree of arrays with a leading axis over the k workers, and the extra
      argument `answered` (k,), true for the workers that answered;
    - messages and, in place of `answered`, the extra argument `weights`, (k,) or
      (2, k): those of a plan that changes while the optimizer stays; or
    - neither of the two, and a gradient or `Tracks` that are decoded already, which
      pass through. `params` tell them from messages and must be passed.

    Args:
        plan: the code; None if every `update` brings weights, or what is decoded.
        decoder: how messages are decoded; None: `jgc.decoders.fixed`. For
            `optax.inject_hyperparams` name it in `static_args`.

    Raises:
        ValueError: a decoder that cannot decode the plan, or has none; in `update`,
            messages without `answered` or `weights`, `answered` without a plan, both,
            a mask or weights of another shape, or with them what are no messages.

    Example:
        >>> import jgc
        >>> plan = jgc.CodingPlan.from_matrix(jnp.eye(2), p=[0.5, 0.0])  # w = (2, 1)
        >>> params, messages = jnp.zeros(1), jnp.array([[1.0], [3.0]])
        >>> optimizer = optax.chain(decode(plan), optax.sgd(1.0))
        >>> state = optimizer.init(params)
        >>> answered = jnp.array([True, True])
        >>> optimizer.update(messages, state, params, answered=answered)[0].tolist()
        [-5.0]
        >>> weights = jgc.decoders.least_squares(plan, answered)
        >>> optimizer.update(messages, state, params, weights=weights)[0].tolist()
        [-4.0]
    """
    if plan is None and decoder is not None:
        raise ValueError("a decoder needs the plan that it decodes, got plan=None")
    own_decoder = decoders.fixed if decoder is None else decoder
    if plan is not None:
        own_decoder.check(plan)

    def update(
        updates: optax.Updates,
        state: optax.OptState,
        params: optax.Params | None = None,
        *,
        answered: Bool[AnyArray, " k"] | None = None,
        weights: Float[AnyArray, "*tracks k"] | None = None,
        **extra: Any,
    ) -> tuple[optax.Updates, optax.OptState]:
        del extra
        if answered is None and weights is None:
            _check_is_decoded(updates, params)
            return updates, state
        if answered is not None:
            if weights is not None:
                raise ValueError("update takes answered= or weights=, not both")
            if plan is None:
                raise ValueError(
                    "answered needs the plan that it belongs to: give it to the "
                    "constructor, or pass weights=decoder(plan, answered) instead"
                )
            if jnp.shape(answered) != (plan.num_workers,):
                raise ValueError(
                    f"answered must have shape ({plan.num_workers},), got "
                    f"{jnp.shape(answered)}"
                )
            weights = own_decoder(plan, answered)
        assert weights is not None
        _check_weights(weights, plan)
        _check_are_messages(updates, params, jnp.shape(weights)[-1])
        decoded = decode_by_weights(updates, weights)
        if jnp.ndim(weights) == 2:
            decoded = jax.tree.map(lambda g: Tracks(g[0], g[1]), decoded)
        return decoded, state

    return optax.GradientTransformationExtraArgs(optax.init_empty_state, update)


def encode(plan: CodingPlan) -> optax.GradientTransformation:
    """Replaces the gradients of the n partitions by the k messages f_i = Σ_j a_ij g_j.

    For simulations that want every message: otherwise `jgc.training.coded_gradient`
    reaches the same ĝ in one backward pass.

    Args:
        plan: the code.

    Raises:
        ValueError: in `update`, a leading axis other than n.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.0, 0.0], num_partitions=2)
        >>> optimizer = optax.chain(
        ...     jgc.optim.clip_partitions(1.0), encode(plan), decode(plan)
        ... )
        >>> partition_gradients, params = jnp.array([[0.5], [3.0]]), jnp.zeros(1)
        >>> updates, _ = optimizer.update(
        ...     partition_gradients, optimizer.init(params), params,
        ...     answered=jnp.ones(2, bool),
        ... )
        >>> updates.tolist()
        [1.5]
    """
    return optax.stateless(lambda updates, params: plan.encode(updates))


def _check_is_decoded(updates: optax.Updates, params: optax.Params | None) -> None:
    if params is None:
        raise ValueError(
            "without answered= or weights= pass params, which tell a gradient that is "
            "decoded from messages"
        )
    check_shapes(
        "a decoded gradient", updates, params, hint="; messages need answered="
    )


def _check_weights(weights: Float[AnyArray, "..."], plan: CodingPlan | None) -> None:
    shape = jnp.shape(weights)
    k = plan.num_workers if plan is not None else shape[-1] if shape else None
    if shape not in ((k,), (2, k)):
        raise ValueError(
            f"weights must have shape (k,) or (2, k), one for each of the "
            f"{'k' if plan is None else k} workers, got {shape}"
        )


def _check_are_messages(
    updates: optax.Updates, params: optax.Params | None, k: int
) -> None:
    hint = "; pass neither answered= nor weights= with a gradient that is decoded"
    if has_tracks(updates):
        raise ValueError(f"messages must be arrays, got jgc.optim.Tracks{hint}")
    if params is not None:
        check_shapes("messages", updates, params, leading=(k,), hint=hint)
        return
    for leaf in jax.tree.leaves(updates):
        if jnp.shape(leaf)[:1] != (k,):
            raise ValueError(
                f"messages must have a leading axis over the {k} workers, got shape "
                f"{jnp.shape(leaf)}{hint}"
            )
