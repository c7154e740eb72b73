"""Workers spread over devices with `shard_map`: each device computes its own workers'.

A device takes some of the workers and the partitions that they hold. A partition that
several of its workers hold is there, and is computed, once: the device needs
Σ_i v_i f_i of its workers alone. One `psum` decodes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from jgc._plan import AnyArray, CodingPlan
from jgc.decoders import Decoder
from jgc.gradients import SimilarityEstimator
from jgc.training._connecting import connect
from jgc.training._device_run import device_run
from jgc.training._feed import Feed
from jgc.training._gradient import coded_gradient, mean_state
from jgc.training._job import Job, Run, TrainingPath
from jgc.training._loss import LossLike, ModelState, Params, as_loss
from jgc.training._partitions import Batch, Partitions
from jgc.training._placement import balance, device_coefficients, held_partitions
from jgc.training._reached import reached
from jgc.training._similarity import observed, with_probe, without_probe
from jgc.training._state import TrainState, apply_gradient, positive_chunk, run_keys

Tree = TypeVar("Tree")


class _Shares(NamedTuple):
    """What each device computes; the first axis is split over them.

    Attributes:
        batch: the examples of its m slots, leaves (D, m, …).
        held: how many of the slots count, the first ones (D,).
        counted: whether a slot's losses and states do, each partition once (D, m).
    """

    batch: Batch
    held: Int[Any, " D"]
    counted: Bool[Any, "D m"]


def spmd(
    loss: LossLike,
    optimizer: optax.GradientTransformation,
    *,
    mesh: Mesh | None = None,
    chunk_size: int | None = None,
    param_axis: str | None = None,
) -> TrainingPath:
    """Workers spread over the devices of a mesh, of this process or of several.

    k need not be a multiple of the number of devices. With several processes
    (`jax.distributed`) the same lines run in each, and each reads the examples of its
    own devices; the first run begins when all of them are there. The step compiles
    again for a job that gives a device more partitions.

    Args:
        loss: `loss(params, examples)`, the losses of the examples, or of
            `partition_loss`. The objective is the mean over all N examples.
        optimizer: any optax transformation; one of two tracks for a decoder of two.
        mesh: its devices take the workers, whatever its axes; default: all devices.
        chunk_size: see `coded_gradient`; default: the examples of one partition, so
            that a device with few of them does less.
        param_axis: an axis of `mesh` over which parameters and the optimizer's state
            are stored in parts, see `place_state`.

    Returns:
        A path: `with path(job) as run:` gives `run.init` and `run.step`, see `Run`.

    Raises:
        ValueError: a chunk of no examples, a mesh without such an axis; in `init`, a
            loss that mixes examples or returns no loss an example; in `step`, no mask
            and no straggler model.

    Example:
        >>> import jgc
        >>> from jgc.training import Job, arrays, partitioned
        >>> x = np.linspace(-1, 1, 12, dtype=np.float32)
        >>> job = Job(
        ...     plan=jgc.codes.interval([0.1, 0.2, 0.5], num_partitions=3),
        ...     data=partitioned(arrays(x), np.arange(12) % 3, num_partitions=3),
        ... )
        >>> path = spmd(lambda w, x: (w * x - 2 * x) ** 2, optax.sgd(0.3))
        >>> with path(job) as run:
        ...     state = run.init(jax.random.key(0), jnp.zeros(()))
        ...     state, report = run.step(state, np.array([True, True, False]))
        >>> report.answered.tolist()
        [True, True, False]
    """
    own_loss, chunk = as_loss(loss), positive_chunk(chunk_size)
    mesh = Mesh(jax.devices(), ("workers",)) if mesh is None else mesh
    axes = mesh.axis_names
    _check_axis(mesh, param_axis)
    split, copied = PartitionSpec(axes), PartitionSpec()

    def device_pass(
        params: Params,
        model_state: ModelState,
        key: Array,
        shares: _Shares,
        coefficients: Float[Array, "*tracks 1 n"],
        reached: Bool[Array, " n"],
    ) -> tuple[Params, ModelState, Float[Array, " n"], dict[str, Array]]:
        batch, held, counted = jax.tree.map(lambda leaf: leaf[0], shares)
        c = coefficients[..., 0, :]
        own = jnp.where(jnp.arange(counted.size) < held, c[..., batch.partition], 0)
        found = coded_gradient(
            own_loss,
            params,
            batch,
            own,
            key=key,
            model_state=model_state,
            chunk_size=chunk or batch.weights.shape[1],
            num_held=held,
        )
        wide = jax.tree.map(
            lambda g: g.astype(jnp.promote_types(g.dtype, jnp.float32)), found.gradient
        )
        seen = jnp.where(counted, found.losses, 0)
        losses = jnp.zeros(c.shape[-1], seen.dtype).at[batch.partition].add(seen)
        metrics = jax.tree.map(lambda m: jnp.where(counted, m, 0).sum(), found.metrics)
        gradient, losses, metrics, number = jax.lax.psum(
            (wide, losses, metrics, counted.sum()), axes
        )
        if own_loss.has_state:
            told = counted & reached[batch.partition]
            model_state = mean_state(
                model_state, found.model_states, told, axis_name=axes
            )
        metrics = jax.tree.map(lambda total: total / number, metrics)
        return gradient, model_state, losses, metrics

    def make_update(worker_device: Int[np.ndarray, " k"]) -> Any:
        @jax.jit
        def update(
            state: TrainState,
            key: Array,
            shares: _Shares,
            plan: CodingPlan,
            decoder: Decoder,
            answered: Bool[AnyArray, " k"],
            probing: SimilarityEstimator | None,
        ) -> tuple[TrainState, Array, dict[str, Array]]:
            weights = decoder(plan, answered)
            if probing is not None:
                weights = with_probe(weights, key, state.iteration)
            c = device_coefficients(plan, worker_device, weights, num_devices=mesh.size)
            tracks = (None,) * (c.ndim - 2)
            of_loss = jax.random.fold_in(run_keys(key).loss, state.iteration)
            gradient, model_state, losses, metrics = jax.shard_map(
                device_pass,
                mesh=mesh,
                in_specs=(
                    copied,
                    copied,
                    copied,
                    split,
                    PartitionSpec(*tracks, axes),
                    copied,
                ),
                out_specs=copied,
                # The check would sum gradients over devices in each trip of the loop,
                # and refuses losses with loops of their own that start from constants.
                check_vma=False,
            )(
                state.params,
                state.model_state,
                of_loss,
                shares,
                c,
                reached(plan, answered),
            )
            state = state._replace(model_state=model_state)
            if probing is not None:
                c = plan.coefficients(weights)
                seen = observed(probing, state.similarity, c, gradient)
                state = state._replace(similarity=seen)
                gradient = without_probe(gradient, num_tracks=decoder.num_tracks)
            gradient = jax.tree.map(
                lambda g, p: g.astype(p.dtype), gradient, state.params
            )
            state = apply_gradient(
                optimizer, state, gradient, num_tracks=decoder.num_tracks
            )
            shardings = _shardings(state, mesh, param_axis)
            state = jax.lax.with_sharding_constraint(state, shardings)
            return state, losses, metrics

        return update

    updates: dict[bytes, Any] = {}  # by the workers' devices: jobs share what compiled

    @contextmanager
    def open_run(job: Job) -> Iterator[Run]:
        connect(mesh, param_axis)
        worker_device = balance(job.plan.batch_sizes, num_devices=mesh.size)
        name = worker_device.tobytes()
        update = updates.setdefault(name, make_update(worker_device))
        held = held_partitions(job.plan, worker_device, num_devices=mesh.size)
        with _open_feed(job.data, held, mesh) as feed:
            yield device_run(
                job,
                own_loss,
                optimizer,
                update,
                feed,
                place=lambda state: place_state(state, mesh, param_axis=param_axis),
            )

    return open_run


def _open_feed(data: Partitions, held: Bool[np.ndarray, "D n"], mesh: Mesh) -> Feed:
    """Batches of the partitions of this process's devices, on those devices."""
    counted = held & (np.cumsum(held, axis=0) == 1)  # on the first device that holds it
    most = max(1, int(held.sum(axis=1).max()))
    local = [
        (index, device)
        for index, device in enumerate(mesh.devices.flat)
        if device.process_index == jax.process_index()
    ]
    wanted = np.flatnonzero(held[[index for index, _ in local]].any(axis=0))
    own = data.select(wanted if wanted.size else [0])
    position = np.zeros(held.shape[1], np.int64)
    position[np.asarray(own.number)] = np.arange(len(own.number))
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names))

    def of_device(batch: Batch, index: int) -> _Shares:
        numbers = np.flatnonzero(held[index])
        # Slots that repeat a partition, so that the loss meets nothing that it never
        # sees; a device without any has one of another.
        slots = np.resize(numbers if numbers.size else np.asarray(own.number), most)
        rows = position[slots]
        is_first = np.arange(most) < numbers.size
        return _Shares(
            batch=jax.tree.map(lambda leaf: np.asarray(leaf)[rows][None], batch),
            held=np.array([numbers.size], np.int32),
            counted=(is_first & counted[index][slots])[None],
        )

    def place(batch: Batch) -> Any:
        entries = [jax.device_put(of_device(batch, i), device) for i, device in local]

        def join(*leaves: Array) -> Array:
            whole = (mesh.size, *leaves[0].shape[1:])
            return jax.make_array_from_single_device_arrays(
                whole, sharding, list(leaves)
            )

        return jax.tree.map(join, *entries)

    return Feed(own, place=place)


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

    Example:
        >>> mesh = Mesh(jax.devices()[:1], ("workers",))
        >>> placed = place_state({"weight": jnp.ones(4)}, mesh)
        >>> placed["weight"].sharding.is_fully_replicated
        True
    """
    _check_axis(mesh, param_axis)

    def place(leaf: Array, sharding: NamedSharding) -> Array:
        if not jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
            return jax.device_put(leaf, sharding)
        # With several processes device_put takes a key's words, but no key.
        words = jax.device_put(np.asarray(jax.random.key_data(leaf)), sharding)
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))

    return jax.tree.map(place, state, _shardings(state, mesh, param_axis))


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

    if isinstance(tree, TrainState):  # of it parameters and optimizer's state alone
        parts = (tree.params, tree.opt_state)
        params, opt_state = _shardings(parts, mesh, param_axis)
        whole = _shardings(tuple(tree), mesh, None)
        return type(tree)(*whole)._replace(params=params, opt_state=opt_state)
    return jax.tree.map(of_leaf, tree)
