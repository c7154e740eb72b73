"""Coded training with the workers spread over devices and processes.

The decoded gradient is a sum over devices of what their own workers sent,
ĝ = Σ_d Σ_{i on d} I_i w_i f_i, and a device's term is the gradient of its own
examples' losses, weighted by c_dj of `device_coefficients` [ours]. Each device takes
that gradient in micro-batches, as many as it has, and one `psum` decodes.

Devices differ in how many micro-batches they have, so that nothing may cross devices in
the midst of them. All axes of the mesh are therefore manual, and parameters whole on
every device while gradients are taken; between steps they may be stored in parts.

    mesh = jax.sharding.Mesh(jax.devices(), ("workers",))
    device = balance(plan.batch_sizes, num_devices=mesh.size)
    examples = spread(read, partition, plan, device, mesh=mesh)
    step = make_spmd_step(loss, optimizer, mesh=mesh)
    state = place_state(init_state(params, optimizer), mesh)

    weights = decoder(plan, mask)
    coefficients = device_coefficients(plan, device, weights, num_devices=mesh.size)
    state, mean_loss = step(state, examples, coefficients)
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from jgc.training._simulated import (
    Loss,
    Params,
    TrainState,
    apply_gradient,
    coded_gradient,
)
from jgc.training._spread import SpreadExamples

Tree = TypeVar("Tree")


def make_spmd_step(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    mesh: Mesh,
    param_axis: str | None = None,
) -> Callable[..., tuple[TrainState, Float[Array, ""]]]:
    """A jit-compiled coded step over the devices of `mesh`.

    Args:
        loss: `loss(params, examples)`, the losses of the examples, each its own.
        optimizer: any optax transformation.
        mesh: its devices take the workers, whatever its axes.
        param_axis: of `place_state`.

    Returns:
        `step(state, examples, coefficients) -> (state, mean_loss)`: `examples` of
        `spread`, `coefficients` (D, n) or (2, D, n) of `device_coefficients`; as in
        `jgc.training.make_step` the objective is the mean loss over all N examples, and
        a two-track optimizer gets the second gradient as `second_moment_updates`.
        `mean_loss` is that of the parameters before the step, over the examples that
        some worker holds. Gradients add up in float32 or wider.
        It compiles again for other shapes of `examples`, not for another plan.

    Raises:
        ValueError: `mesh` has no such axis.
    """
    axes = mesh.axis_names
    _check_axis(mesh, param_axis)

    def device_gradient(
        params: Params,
        spread: SpreadExamples,
        coefficients: Float[Array, "*tracks 1 n"],
    ) -> tuple[Params, Float[Array, ""]]:
        coefficients = coefficients[..., 0, :]

        def add_batch(t: Array, total: tuple[Params, Array]) -> tuple[Params, Array]:
            batch = jax.tree.map(
                lambda leaf: leaf[0, t],
                (spread.examples, spread.partition, spread.weight, spread.counts),
            )
            examples, partition, weight, counts = batch
            gradient, losses = coded_gradient(
                loss, params, examples, coefficients[..., partition] * weight
            )
            return jax.tree.map(jnp.add, total, (gradient, counts @ losses))

        start = (_zeros(params, coefficients.shape[:-1]), jnp.zeros(()))
        total = jax.lax.fori_loop(0, spread.num_batches[0], add_batch, start)
        return jax.lax.psum(total, axes)

    @jax.jit
    def step(
        state: TrainState,
        spread: SpreadExamples,
        coefficients: Float[Array, "*tracks D n"],
    ) -> tuple[TrainState, Float[Array, ""]]:
        tracks = (None,) * (coefficients.ndim - 2)
        split = PartitionSpec(axes)
        gradient, mean_loss = jax.shard_map(
            device_gradient,
            mesh=mesh,
            in_specs=(PartitionSpec(), split, PartitionSpec(*tracks, axes)),
            out_specs=PartitionSpec(),
            # The check would sum gradients over devices in each trip of the loop, and
            # refuses losses with loops of their own that start from constants.
            check_vma=False,
        )(state.params, spread, coefficients)
        gradient = jax.tree.map(lambda g, p: g.astype(p.dtype), gradient, state.params)
        state = apply_gradient(optimizer, state, gradient, has_tracks=bool(tracks))
        shardings = _shardings(state, mesh, param_axis)
        return jax.lax.with_sharding_constraint(state, shardings), mean_loss

    return step


def place_state(state: Tree, mesh: Mesh, *, param_axis: str | None = None) -> Tree:
    """The state on every device of `mesh`, whole or in parts.

    Args:
        state: the same on every process.
        mesh: of the step.
        param_axis: an axis of `mesh` over which parameters and the optimizer's state
            are stored in parts: each array along its longest dimension that the axis
            divides, whole if there is none. They are gathered for the gradient, so that
            one device must hold the parameters and their gradient once. `None`: a whole
            copy on every device.

    Raises:
        ValueError: `mesh` has no such axis.
    """
    _check_axis(mesh, param_axis)
    return jax.device_put(state, _shardings(state, mesh, param_axis))


def _check_axis(mesh: Mesh, param_axis: str | None) -> None:
    if param_axis is not None and param_axis not in mesh.axis_names:
        raise ValueError(
            f"param_axis must be None or one of {mesh.axis_names}, got {param_axis!r}"
        )


def _shardings(tree: Tree, mesh: Mesh, param_axis: str | None) -> Tree:
    def of_leaf(leaf: Array) -> NamedSharding:
        shape = jnp.shape(leaf)
        size = mesh.shape[param_axis] if param_axis is not None else 0
        fits = [d for d, length in enumerate(shape) if size and length % size == 0]
        if not fits:
            return NamedSharding(mesh, PartitionSpec())
        longest = max(fits, key=lambda d: shape[d])
        return NamedSharding(mesh, PartitionSpec(*[None] * longest, param_axis))

    return jax.tree.map(of_leaf, tree)


def _zeros(params: Params, tracks: tuple[int, ...]) -> Params:
    def of_leaf(leaf: Array) -> Array:
        dtype = jnp.promote_types(leaf.dtype, jnp.float32)
        return jnp.zeros((*tracks, *leaf.shape), dtype)

    return jax.tree.map(of_leaf, params)
