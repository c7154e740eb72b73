"""The cost of a coded SPMD step over a plain data-parallel step of the same work.

    python -m benchmarks.spmd_step

Both steps take the same examples on each device, in the same passes, and end in a
`psum` and the same optimizer update. The plain one takes the gradient of their mean
loss; the coded one decodes the mask, weights each device's gradient by its workers'
coefficients, and loops over as many passes as the device has. Prints the ratio of
their median times, run in turns in one process, for several numbers of devices; on a
CPU these share its cores.
"""

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jgc
from benchmarks.machine import describe_machine
from benchmarks.timing import median_seconds
from jgc.training import Job, TrainState, arrays, balance, partitioned, spmd
from jgc.training._placement import held_partitions

NUM_WORKERS = 8  # cyclic repetition: two partitions a worker, equal on every device
FEATURES, CLASSES = 256, 10
OPTIMIZER = optax.sgd(0.01)


def init(key: jax.Array, width: int) -> list[jax.Array]:
    """A perceptron with two hidden layers."""
    sizes = [(FEATURES, width), (width, width), (width, CLASSES)]
    keys = jax.random.split(key, len(sizes))
    return [
        jax.random.normal(k, s) / s[0] ** 0.5 for k, s in zip(keys, sizes, strict=True)
    ]


def loss(params: list[jax.Array], examples: dict[str, jax.Array]) -> jax.Array:
    """Cross-entropy of each example."""
    x = examples["features"]
    for weight in params[:-1]:
        x = jax.nn.relu(x @ weight)
    return optax.softmax_cross_entropy_with_integer_labels(
        x @ params[-1], examples["label"]
    )


def make_plain_step(
    mesh: Mesh, num_passes: int
) -> Callable[[TrainState, Any], tuple[TrainState, jax.Array]]:
    """Data-parallel gradient descent on the mean loss of what the devices hold."""

    def device_gradient(params: list[jax.Array], examples: dict[str, jax.Array]) -> Any:
        def mean_loss(params: list[jax.Array], t: int) -> jax.Array:
            return loss(params, jax.tree.map(lambda leaf: leaf[0, t], examples)).mean()

        if num_passes == 1:
            total = jax.value_and_grad(mean_loss)(params, 0)
        else:
            total = jax.lax.fori_loop(
                0,
                num_passes,
                lambda t, sums: jax.tree.map(
                    jnp.add, sums, jax.value_and_grad(mean_loss)(params, t)
                ),
                (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params)),
            )
        return jax.lax.pmean(total, mesh.axis_names)

    @jax.jit
    def step(state: TrainState, examples: Any) -> tuple[TrainState, jax.Array]:
        value, gradient = jax.shard_map(
            device_gradient,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(mesh.axis_names)),
            out_specs=PartitionSpec(),
            check_vma=False,
        )(state.params, examples)
        updates, opt_state = OPTIMIZER.update(gradient, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, opt_state=opt_state), value

    return step


def measure(num_devices: int, one_pass: bool, options: argparse.Namespace) -> str:
    """A row of the table."""
    mesh = Mesh(jax.devices()[:num_devices], ("workers",))
    plan = jgc.codes.cyclic_repetition(
        np.full(NUM_WORKERS, 0.2), num_partitions=NUM_WORKERS, num_stragglers=1
    )
    worker_device = balance(plan.batch_sizes, num_devices=num_devices)
    held = held_partitions(plan, worker_device, num_devices=num_devices)
    num_examples = NUM_WORKERS * options.examples
    rng = np.random.default_rng(0)
    examples = {
        "features": rng.normal(size=(num_examples, FEATURES)).astype(np.float32),
        "label": rng.integers(0, CLASSES, num_examples).astype(np.int32),
    }
    assignment = np.arange(num_examples) % NUM_WORKERS
    data = partitioned(arrays(examples), assignment, num_partitions=NUM_WORKERS)

    # The same examples on each device, in the same passes.
    rows = [np.flatnonzero(own[assignment]) for own in held]
    passes = 1 if one_pass else int(held[0].sum())
    own_examples = jax.device_put(
        jax.tree.map(
            lambda leaf: np.stack(
                [leaf[r].reshape(passes, -1, *leaf.shape[1:]) for r in rows]
            ),
            examples,
        ),
        NamedSharding(mesh, PartitionSpec("workers")),
    )
    job = Job(plan=plan, data=data, decoder=jgc.decoders.least_squares)
    chunk = num_examples if one_pass else None
    answered = np.arange(NUM_WORKERS) != 2
    plain_step = make_plain_step(mesh, passes)
    with spmd(loss, OPTIMIZER, mesh=mesh, chunk_size=chunk)(job) as run:
        state = run.init(jax.random.key(0), init(jax.random.key(0), options.width))

        def plain() -> TrainState:
            after, value = plain_step(state, own_examples)
            float(value)  # as a loop that logs it does, and a coded step's report
            return after

        steps = {"plain": plain, "coded": lambda: run.step(state, answered)[0]}
        median = median_seconds(steps, repeats=options.repeats)
    return (
        f"{num_devices:7d} {passes:6d} {1e3 * median['plain']:10.1f} "
        f"{1e3 * median['coded']:10.1f} {median['coded'] / median['plain']:7.3f}"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=128, help="in a partition")
    parser.add_argument("--width", type=int, default=1024, help="of hidden layers")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 8])
    options = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", max(options.devices))
    print(describe_machine())
    print(f"{'devices':>7} {'passes':>6} {'plain, ms':>10} {'coded, ms':>10}   ratio")
    for num_devices in options.devices:
        for one_pass in (True, False):
            print(measure(num_devices, one_pass, options))


if __name__ == "__main__":
    main()
