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

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec

import jgc
from benchmarks.machine import describe_machine
from benchmarks.timing import median_seconds
from jgc.training import (
    SpreadExamples,
    TrainState,
    balance,
    device_coefficients,
    init_state,
    make_spmd_step,
    place_state,
    spread,
)

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
) -> Callable[[TrainState, SpreadExamples], TrainState]:
    """Data-parallel gradient descent on the mean loss of what the devices hold."""

    def device_gradient(params: list[jax.Array], examples: dict[str, jax.Array]):
        def mean_loss(params: list[jax.Array], t: int) -> jax.Array:
            return loss(params, jax.tree.map(lambda leaf: leaf[0, t], examples)).mean()

        if num_passes == 1:
            total = jax.grad(mean_loss)(params, 0)
        else:
            total = jax.lax.fori_loop(
                0,
                num_passes,
                lambda t, sums: jax.tree.map(
                    jnp.add, sums, jax.grad(mean_loss)(params, t)
                ),
                jax.tree.map(jnp.zeros_like, params),
            )
        return jax.lax.pmean(total, mesh.axis_names)

    @jax.jit
    def step(state: TrainState, spread: SpreadExamples) -> TrainState:
        gradient = jax.shard_map(
            device_gradient,
            mesh=mesh,
            in_specs=(PartitionSpec(), PartitionSpec(mesh.axis_names)),
            out_specs=PartitionSpec(),
            check_vma=False,
        )(state.params, spread.examples)
        updates, opt_state = OPTIMIZER.update(gradient, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, opt_state=opt_state)

    return step


def measure(num_devices: int, one_pass: bool, options: argparse.Namespace) -> str:
    """A row of the table."""
    mesh = Mesh(jax.devices()[:num_devices], ("workers",))
    plan = jgc.codes.cyclic_repetition(
        np.full(NUM_WORKERS, 0.2), num_partitions=NUM_WORKERS, num_stragglers=1
    )
    device = balance(plan.batch_sizes, num_devices=num_devices)
    num_examples = NUM_WORKERS * options.examples
    rng = np.random.default_rng(0)
    features = rng.normal(size=(num_examples, FEATURES)).astype(np.float32)
    labels = rng.integers(0, CLASSES, num_examples).astype(np.int32)
    examples = spread(
        lambda rows: {"features": features[rows], "label": labels[rows]},
        np.arange(num_examples) % NUM_WORKERS,
        plan,
        device,
        mesh=mesh,
        micro_batch_size=num_examples if one_pass else None,
    )
    num_passes = examples.partition.shape[1]
    state = place_state(
        init_state(init(jax.random.key(0), options.width), OPTIMIZER), mesh
    )
    mask = np.arange(NUM_WORKERS) != 2
    decoder = jgc.decoders.least_squares

    @jax.jit
    def coefficients(mask: jax.Array) -> jax.Array:
        weights = decoder(plan, mask)
        return device_coefficients(plan, device, weights, num_devices=num_devices)

    coded_step = make_spmd_step(loss, OPTIMIZER, mesh=mesh)
    plain_step = make_plain_step(mesh, num_passes)
    steps = {
        "plain": lambda: plain_step(state, examples),
        "coded": lambda: coded_step(state, examples, coefficients(mask))[0],
    }
    median = median_seconds(steps, repeats=options.repeats)
    return (
        f"{num_devices:7d} {num_passes:6d} {1e3 * median['plain']:10.1f} "
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
