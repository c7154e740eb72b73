"""Checks of the SPMD path that need several devices, run by test_spmd.py.

python -m tests.training.spmd_checks CHECK… [--process ID ADDRESS]
"""

import sys

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

import jgc
from experiments.common.schemes import SCHEMES
from jgc import optim
from jgc.detection import Examples, ssdlite
from jgc.training import (
    balance,
    compute_in,
    device_coefficients,
    init_state,
    make_spmd_step,
    make_step,
    place_state,
    spread,
)
from tests.training import problems

K = N = 10
P = np.exp(-np.linspace(0.1, 2, K) / 2)
PARTITION = np.arange(problems.NUM_EXAMPLES) % N
SGD = optax.sgd(0.5)


def one_axis():
    return Mesh(jax.devices(), ("workers",))


def mask(seed):
    return np.random.default_rng(seed).random(K) >= P


def design(name):
    return SCHEMES[name].design(P, N, jax.random.key(0))


class Spread:
    """A plan's workers and examples on the devices of a mesh."""

    def __init__(self, plan, examples, partition, mesh, **options):
        self.plan = plan
        self.device = balance(plan.batch_sizes, num_devices=mesh.size)
        self.num_devices = mesh.size
        self.examples = spread(
            lambda rows: jax.tree.map(lambda leaf: np.asarray(leaf)[rows], examples),
            partition,
            plan,
            self.device,
            mesh=mesh,
            **options,
        )

    def coefficients(self, weights):
        return device_coefficients(
            self.plan, self.device, weights, num_devices=self.num_devices
        )

    def rows(self, device, partition):
        """The examples of the device's workers, by loops."""
        edges = zip(self.plan.edge_worker, self.plan.edge_partition, strict=True)
        held = {j for i, j in edges if self.device[i] == device}
        return [row for row, j in enumerate(partition) if j in held]


def whole(tree):
    """On the host, whatever the devices."""
    return jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), tree)


def same_as_simulated(names, loss, params, examples, partition, *, steps=3, rtol=1e-5):
    mesh = one_axis()
    simulated = make_step(loss, SGD)
    step = make_spmd_step(loss, SGD, mesh=mesh)
    for name in names:
        plan, decoder = design(name), SCHEMES[name].decoder
        spread = Spread(plan, examples, partition, mesh)
        expected = init_state(params, SGD)
        state = place_state(init_state(params, SGD), mesh)
        for t in range(steps):
            coefficients = decoder.coefficients(plan, mask(t))
            expected, losses = simulated(expected, examples, partition, coefficients)
            state, mean_loss = step(
                state,
                spread.examples,
                spread.coefficients(decoder(plan, mask(t))),
            )
            held = np.isin(partition, plan.edge_partition)
            np.testing.assert_allclose(
                whole(mean_loss), np.asarray(losses)[held].mean(), rtol=1e-5
            )
        chex.assert_trees_all_close(
            whole(state), whole(expected), rtol=rtol, atol=rtol, custom_message=name
        )


def logistic_regression():
    same_as_simulated(
        SCHEMES, problems.loss, problems.params(), problems.examples(), PARTITION
    )


def detector():
    """Of two images a partition; the work is counted as well."""
    rng = np.random.default_rng(0)
    num, size = 2 * N, 32
    corners = np.sort(rng.uniform(size=(num, 3, 2, 2)), axis=2).reshape(num, 3, 4)
    examples = Examples(
        image=rng.integers(0, 256, (num, size, size, 3), np.uint8),
        boxes=corners.astype(np.float32),
        labels=rng.integers(0, 3, (num, 3)).astype(np.int32),
        valid=np.ones((num, 3), bool),
        crowd=np.zeros((num, 3), bool),
    )
    model = ssdlite(num_classes=3, image_size=size, width=0.25)
    params = jax.jit(model.init)(jax.random.key(0))
    partition = np.arange(num) // 2
    names = ("interval", "scheme_ii", "interval_least_squares")
    same_as_simulated(
        names, model.loss, params, examples, partition, steps=1, rtol=1e-4
    )
    counted_work(model.loss, params, examples, partition)


def counted_work(loss, params, examples, partition):
    """XLA counts a loop's body once: times its trips it is the device's work."""
    mesh = one_axis()
    spread = Spread(design("interval"), examples, partition, mesh)
    step = make_spmd_step(loss, SGD, mesh=mesh)
    compiled = step.lower(
        place_state(init_state(params, SGD), mesh),
        spread.examples,
        np.ones((mesh.size, N), np.float32),
    ).compile()
    each_trip = compiled.cost_analysis()["flops"]

    def partition_loss(params, examples):
        return loss(params, examples).sum()

    first = jax.tree.map(lambda leaf: leaf[partition == 0], examples)
    gradient = jax.jit(jax.value_and_grad(partition_loss))
    each = gradient.lower(params, first).compile().cost_analysis()["flops"]
    for device, trips in enumerate(np.asarray(spread.examples.num_batches)):
        own = {partition[row] for row in spread.rows(device, partition)}
        np.testing.assert_allclose(trips * each_trip, len(own) * each, rtol=0.05)


def own_examples():
    """What a device holds, and what it computes, seen from inside the loss."""
    mesh = one_axis()
    examples = {**problems.examples(), "row": np.arange(problems.NUM_EXAMPLES)}
    computed = [[] for _ in range(mesh.size)]

    def record(device, rows):
        computed[int(device)] += rows.tolist()

    def loss(params, examples):
        device = jax.lax.axis_index("workers")
        jax.debug.callback(record, device, examples["row"])
        return problems.loss(params, examples)

    for size in (1, 3, 100):
        spread = Spread(
            design("interval"), examples, PARTITION, mesh, micro_batch_size=size
        )
        step = make_spmd_step(loss, SGD, mesh=mesh)
        state = place_state(init_state(problems.params(), SGD), mesh)
        for rows in computed:
            rows.clear()
        ones = np.ones((mesh.size, N), np.float32)
        jax.block_until_ready(step(state, spread.examples, ones))
        jax.effects_barrier()
        for device, shard in enumerate(spread.examples.examples["row"].global_shards):
            own = spread.rows(device, PARTITION)
            assert shard.device == mesh.devices[device]
            held = np.asarray(shard.data).ravel()
            assert set(held[: len(own)]) == set(own)
            assert set(held[len(own) :]) <= {0, *own}  # 0: never computed
            assert set(computed[device]) == set(own)
            assert len(own) <= len(computed[device]) < len(own) + size


def two_tracks():
    mesh = one_axis()
    plan = design("sgc")
    v = jgc.decoders.second_moment_weights(plan, noise_ratio=2.0)
    optimizer = optim.two_track_adam(None, 0.1)
    simulated = make_step(problems.loss, optimizer)
    step = make_spmd_step(problems.loss, optimizer, mesh=mesh)
    spread = Spread(plan, problems.examples(), PARTITION, mesh)
    expected = init_state(problems.params(), optimizer)
    state = place_state(expected, mesh)
    for t in range(3):
        both = optim.two_track_coefficients(plan, v, mask(t))
        expected, _ = simulated(expected, problems.examples(), PARTITION, both)
        weights = np.where(mask(t), np.stack([plan.weights, v]), 0)
        state, _ = step(state, spread.examples, spread.coefficients(weights))
    chex.assert_trees_all_close(whole(state), whole(expected), rtol=1e-4, atol=1e-5)


def parameters_in_parts():
    mesh = Mesh(np.reshape(jax.devices(), (-1, 2)), ("workers", "model"))
    optimizer = optax.adam(0.1)
    plan = design("interval")
    spread = Spread(plan, problems.examples(), PARTITION, mesh)
    simulated = make_step(problems.loss, optimizer)
    step = make_spmd_step(problems.loss, optimizer, mesh=mesh, param_axis="model")
    expected = init_state(problems.params(), optimizer)
    state = place_state(expected, mesh, param_axis="model")
    for t in range(3):
        coefficients = jgc.decoders.fixed.coefficients(plan, mask(t))
        expected, _ = simulated(expected, problems.examples(), PARTITION, coefficients)
        weights = np.where(mask(t), plan.weights, 0)
        state, _ = step(state, spread.examples, spread.coefficients(weights))
    for weight in (state.params["weight"], state.opt_state[0].mu["weight"]):
        assert weight.addressable_data(0).size == problems.DIMENSION // 2
    assert step._cache_size() == 1
    chex.assert_trees_all_close(
        jax.device_get(state), whole(expected), rtol=1e-4, atol=1e-5
    )


def low_precision():
    """In bfloat16 a sum of a thousand 1/1000 would stop growing at about a half."""
    mesh = one_axis()
    plan = jgc.codes.straggler_free(K, num_partitions=N)
    examples = np.ones((1000, 1), np.float32)
    spread = Spread(plan, examples, np.arange(1000) % N, mesh, micro_batch_size=1)
    dtypes = []

    def loss(params, examples):
        dtypes.append((params.dtype, examples.dtype))
        return examples @ params

    optimizer = optax.sgd(1.0)
    step = make_spmd_step(compute_in(jnp.bfloat16, loss), optimizer, mesh=mesh)
    state = place_state(init_state(jnp.zeros(1), optimizer), mesh)
    state, _ = step(state, spread.examples, spread.coefficients(np.ones(K)))
    np.testing.assert_allclose(whole(state.params), -1, rtol=2**-8)
    assert set(dtypes) == {(jnp.dtype(jnp.bfloat16),) * 2}
    assert state.params.dtype == jnp.float32


def own_data_of_a_process():
    """A process never reads what only the other one's workers hold."""
    mesh = one_axis()
    assert jax.process_count() == 2
    examples = jax.tree.map(np.asarray, problems.examples())
    own = [d.process_index == jax.process_index() for d in mesh.devices]
    for name in ("interval", "gd"):
        plan, decoder = design(name), SCHEMES[name].decoder
        device = balance(plan.batch_sizes, num_devices=mesh.size)
        held = {
            j
            for i, j in zip(plan.edge_worker, plan.edge_partition, strict=True)
            if own[device[i]]
        }
        assert len(held) < N
        poisoned = dict(examples)
        is_held = np.isin(PARTITION, list(held))[:, None]
        poisoned["features"] = np.where(is_held, examples["features"], np.nan)
        step = make_spmd_step(problems.loss, SGD, mesh=mesh)
        spread = Spread(plan, poisoned, PARTITION, mesh)
        expected = init_state(problems.params(), SGD)
        state = place_state(expected, mesh)
        coefficients = decoder.coefficients(plan, mask(0))
        expected, losses = make_step(problems.loss, SGD)(
            expected, examples, PARTITION, coefficients
        )
        state, mean_loss = step(
            state, spread.examples, spread.coefficients(decoder(plan, mask(0)))
        )
        np.testing.assert_allclose(whole(mean_loss), losses.mean(), rtol=1e-5)
        chex.assert_trees_all_close(whole(state), whole(expected), rtol=1e-5, atol=1e-6)


def main(arguments):
    if "--process" in arguments:
        at = arguments.index("--process")
        process, address = arguments[at + 1 :]
        arguments = arguments[:at]
        jax.distributed.initialize(address, num_processes=2, process_id=int(process))
    for name in arguments:
        globals()[name]()
    print("passed")


if __name__ == "__main__":
    main(sys.argv[1:])
