"""Two estimates of one gradient, in the place of each of its leaves."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Num

_TAKES_ONE = (
    "this optimizer does not take two tracks (jgc.optim.Tracks), which a decoder of "
    "two gives: use one of two, such as jgc.optim.two_track_adam, or begin it with "
    "jgc.optim.first_track(); optax.MultiSteps, optax.apply_if_finite and whatever "
    "else reads parameters beside gradients take one gradient"
)


class Tracks(NamedTuple):
    """A parameter's gradient decoded for the first and for the second moment (42).

    Stands in the place of the parameter's leaf, as a node of the tree: what maps over
    the leaves of updates, such as `optax.scale`, acts on both; what measures them, such
    as `optax.clip_by_global_norm`, measures both together and scales them alike; masks
    and labels of parameters hold for both.

    Attributes:
        first: Σ_i I_i w_i f_i, of the parameter's shape.
        second: Σ_i I_i v_i f_i, of the same shape.

    Example:
        >>> gradient = {"x": Tracks(jnp.array([3.0]), jnp.array([4.0]))}
        >>> clip = optax.clip_by_global_norm(1.0)
        >>> clipped, _ = clip.update(gradient, clip.init({"x": jnp.zeros(1)}))
        >>> [round(float(track[0]), 3) for track in clipped["x"]]
        [0.6, 0.8]
    """

    first: Num[Array, "..."]
    second: Num[Array, "..."]


# NumPy would add a tuple to parameters as one more axis.
Tracks.__array_ufunc__ = None  # type: ignore[attr-defined]


def first_track() -> optax.GradientTransformation:
    """Keeps the first of two tracks, for an optimizer that takes one gradient.

    As for groups of parameters that are frozen or go by SGD beside others that go by
    two-track Adam. A single gradient passes through.

    Example:
        >>> optimizer = optax.chain(first_track(), optax.sgd(1.0))
        >>> params = jnp.zeros(1)
        >>> tracks = Tracks(jnp.ones(1), jnp.full(1, 2.0))
        >>> optimizer.update(tracks, optimizer.init(params))[0].tolist()
        [-1.0]
    """
    return optax.stateless(lambda updates, params: first_of(updates))


def checked_update(
    optimizer: optax.GradientTransformation,
    updates: optax.Updates,
    state: optax.OptState,
    params: optax.Params,
    **extra: Any,
) -> tuple[optax.Updates, optax.OptState]:
    """`optimizer.update`, whose results are updates that the parameters can take.

    Args:
        optimizer: any optax transformation.
        updates: gradients of the parameters' shapes, or `Tracks` of them.
        state: of the optimizer.
        params: the parameters.
        extra: arguments of the optimizer's own.

    Raises:
        ValueError: two tracks for an optimizer of one, or updates of other shapes than
            the parameters.

    Example:
        >>> params = jnp.zeros(1)
        >>> adam = optax.adam(0.1)
        >>> tracks = Tracks(jnp.ones(1), jnp.ones(1))
        >>> checked_update(adam, tracks, adam.init(params), params)
        Traceback (most recent call last):
        ValueError: this optimizer does not take two tracks ...
    """
    optimizer = optax.with_extra_args_support(optimizer)
    try:
        result, state = optimizer.update(updates, state, params, **extra)
    except (TypeError, ValueError) as error:  # of trees or branches that do not match
        if has_tracks(updates):
            raise ValueError(_TAKES_ONE) from error
        raise
    check_is_single(result, params)
    return result, state


def check_is_single(updates: optax.Updates, params: optax.Params) -> None:
    """Raises ValueError where updates are not of their parameters' shapes."""
    if has_tracks(updates):
        raise ValueError(_TAKES_ONE)
    check_shapes("what the optimizer gives", updates, params)


def check_shapes(
    name: str,
    updates: optax.Updates,
    params: optax.Params,
    *,
    leading: tuple[int, ...] = (),
    hint: str = "",
) -> None:
    """Whether each track of each leaf has the shape `leading` + its parameter's.

    Raises:
        ValueError: one has not, or the trees differ.
    """
    leaves, structure = jax.tree.flatten(params)
    try:
        found = structure.flatten_up_to(updates)  # type: ignore[attr-defined]
    except ValueError as error:
        raise ValueError(
            f"{name} must be a tree like the parameters: {error}"
        ) from None
    for param, nodes in zip(leaves, found, strict=True):
        wanted = leading + jnp.shape(param)
        for node in nodes if isinstance(nodes, Tracks) else (nodes,):
            is_array = jax.tree_util.all_leaves([node])
            if not is_array or jnp.shape(node) != wanted:
                got = f"shape {jnp.shape(node)}" if is_array else type(node).__name__
                raise ValueError(
                    f"{name} must have shape {wanted} for the parameter of shape "
                    f"{jnp.shape(param)}, got {got}{hint}"
                )


def is_tracks(node: Any) -> bool:
    """Whether it is two tracks, as `is_leaf` of JAX's tree functions."""
    return isinstance(node, Tracks)


def has_tracks(updates: optax.Updates) -> bool:
    """Whether a leaf is of two tracks."""
    return any(map(is_tracks, jax.tree.leaves(updates, is_leaf=is_tracks)))


def first_of(updates: optax.Updates) -> optax.Updates:
    """The first track, or the only one."""
    return jax.tree.map(
        lambda node: node.first if is_tracks(node) else node,
        updates,
        is_leaf=is_tracks,
    )
