"""The cost of a coded step over plain gradient descent on the same examples.

    python -m benchmarks.coded_step

Both steps are compiled by the same jit, run in turns in one process and end in the
same optimizer update; the plain one is the gradient of the mean loss. Prints the
ratio of their median times; the target is at most 1.02.
"""

import argparse
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jgc
from benchmarks.machine import describe_machine
from benchmarks.timing import median_seconds
from jgc.detection import Detector, Examples, ssdlite
from jgc.training import Job, TrainState, arrays, partitioned, simulated

NUM_CLASSES, NUM_OBJECTS = 6, 4


def random_examples(num_images: int, size: int) -> Examples:
    """Images of noise with random boxes; the work does not depend on the content."""
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(size=(num_images, NUM_OBJECTS, 2, 2)), axis=2)
    shape = (num_images, NUM_OBJECTS)
    return Examples(
        image=jnp.asarray(rng.integers(0, 256, (num_images, size, size, 3), np.uint8)),
        boxes=jnp.asarray(corners.reshape(*shape, 4), jnp.float32),
        labels=jnp.asarray(rng.integers(0, NUM_CLASSES, shape), jnp.int32),
        valid=jnp.ones(shape, bool),
        crowd=jnp.zeros(shape, bool),
    )


class Steps(NamedTuple):
    """Median seconds of a step, and what a plain one computes.

    Attributes:
        plain: gradient descent on all examples.
        coded: the same with an interval code's coefficients.
        operations: floating-point, of the plain step as XLA counts them in the program
            for a CPU before it is optimised.
    """

    plain: float
    coded: float
    operations: float


def measure(detector: Detector, examples: Examples, *, repeats: int) -> Steps:
    """Both steps in turns, on ten partitions."""
    optimizer = optax.sgd(0.01)
    plan = jgc.codes.interval(np.linspace(0.1, 0.9, 10), num_partitions=10)
    data = partitioned(
        arrays(examples),
        np.arange(len(examples.image)) % plan.num_partitions,
        num_partitions=plan.num_partitions,
    )
    answered = np.arange(plan.num_workers) % 3 > 0

    @jax.jit
    def plain_step(
        state: TrainState, examples: Examples
    ) -> tuple[TrainState, jax.Array]:
        loss, gradient = jax.value_and_grad(
            lambda params: detector.loss(params, examples).mean()
        )(state.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return state._replace(params=params, opt_state=opt_state), loss

    with simulated(detector.loss, optimizer)(Job(plan=plan, data=data)) as run:
        state = run.init(jax.random.key(0), jax.jit(detector.init)(jax.random.key(0)))
        bare = state._replace(code=())

        def plain() -> TrainState:
            after, loss = plain_step(bare, examples)
            float(loss)  # as a loop that logs it does, and a coded step's report
            return after

        steps = {"plain": plain, "coded": lambda: run.step(state, answered)[0]}
        median = median_seconds(steps, repeats=repeats)
    # XLA counts for a CPU alone, whatever the steps ran on.
    shapes = jax.eval_shape(lambda *arguments: arguments, bare, examples)
    with jax.default_device(jax.devices("cpu")[0]):
        counted = plain_step.lower(*shapes).cost_analysis()
    return Steps(**median, operations=counted["flops"])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--size", type=int, default=64, help="pixels of a side")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--repeats", type=int, default=40)
    options = parser.parse_args()

    detector = ssdlite(
        num_classes=NUM_CLASSES, image_size=options.size, width=options.width
    )
    examples = random_examples(options.images, options.size)
    steps = measure(detector, examples, repeats=options.repeats)
    print(describe_machine())
    print(f"{options.images} images of {options.size} px, width {options.width}")
    for name in ("plain", "coded"):
        print(f"  {name} step: {1e3 * getattr(steps, name):.1f} ms")
    print(f"  coded / plain: {steps.coded / steps.plain:.3f}")


if __name__ == "__main__":
    main()
