"""What an iteration trains on: all examples, or a batch from memory or from disk."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jgc.training._batches import MiniBatches, mini_batches
from jgc.training._simulated import Examples


@runtime_checkable
class ExampleStream(Protocol):
    """Examples that are read when they are needed."""

    def batches(self, indices: Iterator[Int[np.ndarray, " m"]]) -> Iterator[Examples]:
        """The examples of each array of indices, read ahead; closed by its user."""


class Feed(NamedTuple):
    """The training data of a run, iteration by iteration.

    Attributes:
        examples: `examples(iteration)`, of ascending iterations.
        partition: the partition of each of them.
        scale: what the coefficient of each partition is multiplied by.
    """

    examples: Callable[[int], Examples]
    partition: Int[Array, " m"]
    scale: Float[Array, " n"]

    def mean_loss(self, losses: Float[Array, " m"]) -> float:
        """The mean loss of all examples, estimated from those of this iteration."""
        return float((losses * self.scale[self.partition]).mean())


@contextmanager
def open_feed(
    examples: Examples | ExampleStream,
    partition: Int[Array, " N"],
    *,
    num_partitions: int,
    batch_size: int,
    key: Array,
) -> Iterator[Feed]:
    """The feed of one run, while it is open.

    Args:
        examples: a pytree with a leading axis over the N examples, or a stream.
        partition: the partition of each example.
        num_partitions: n.
        batch_size: examples of each partition in an iteration; 0: all, which a stream
            does not have.
        key: of the run's batches; that of an iteration is folded in, so that a resumed
            run goes on with the same ones.
    """
    if batch_size == 0:
        whole = jax.tree.map(jnp.asarray, examples)
        yield Feed(lambda iteration: whole, partition, jnp.ones(num_partitions))
        return
    batches = mini_batches(
        partition, num_partitions=num_partitions, batch_size=batch_size
    )
    if not isinstance(examples, ExampleStream):
        whole = jax.tree.map(jnp.asarray, examples)
        yield Feed(
            lambda iteration: _gather(batches, whole, key, iteration),
            batches.partition,
            batches.scale,
        )
        return
    stream: Any = None

    def next_batch(iteration: int) -> Examples:
        nonlocal stream
        if stream is None:
            stream = examples.batches(
                np.asarray(_draw(batches, key, later))
                for later in itertools.count(iteration)
            )
        return next(stream)

    try:
        yield Feed(next_batch, batches.partition, batches.scale)
    finally:
        if stream is not None:
            stream.close()


@jax.jit
def _draw(batches: MiniBatches, key: Array, iteration: int) -> Int[Array, " m"]:
    return batches.draw(jax.random.fold_in(key, iteration))


@jax.jit
def _gather(
    batches: MiniBatches, examples: Examples, key: Array, iteration: int
) -> Examples:
    indices = _draw(batches, key, iteration)
    return jax.tree.map(lambda leaf: leaf[indices], examples)
