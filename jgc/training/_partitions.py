"""Examples cut into n partitions, and which of them an iteration takes (C.4.1).

A batch of a partition depends on the key, the iteration and the partition's number
alone: every holder of a partition draws the same, whatever else it holds.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._pytree import pytree
from jgc.training._sources import Arrays, DataSource, arrays, read_examples


@pytree
@dataclass(frozen=True)
class Batch:
    """Examples of m partitions, b of each.

    Σ_js weights[j, s] · loss of examples[j, s] is the mean loss over all N examples, or
    an unbiased estimate of it: the objective of coded training.

    Attributes:
        examples: a pytree of arrays (m, b, …).
        weights: (m, b) float32: N_j/(N min(b, N_j)), so 1/N where all are taken; 0 for
            repeated examples that fill a smaller partition up.
        partition: (m,), the number of each partition.
    """

    examples: PyTree
    weights: Float[Any, "m b"]
    partition: Int[Any, " m"]


@pytree
@dataclass(frozen=True)
class Partitions:
    """Some of the n partitions of a source; get all of them from `partitioned`.

    A pytree where the source is one: on `arrays`, `batch` is pure JAX and may be part
    of a compiled step.

    Attributes:
        source: of the examples.
        number: the partitions' numbers, 0 to n − 1.
        size: N_j, how many examples each has.
        start: where its rows begin in `order`.
        order: rows of the source, partition by partition.
        batch_size: b, how many examples of each partition an iteration takes.
        num_examples: N, of all n partitions.
        is_whole: b is at least every size, so that all batches are the same.
    """

    source: Any = field(repr=False)
    number: Int[Any, " m"]
    size: Int[Any, " m"]
    start: Int[Any, " m"] = field(repr=False)
    order: Int[Any, " own"] = field(repr=False)
    batch_size: int = field(metadata={"static": True})
    num_examples: int = field(metadata={"static": True})
    is_whole: bool = field(metadata={"static": True})

    @property
    def weights(self) -> Float[Any, "m b"]:
        """Of a `Batch`; the same in every iteration."""
        # On the host where possible: there, no accelerator's step is waited for.
        xp = jnp if isinstance(self.size, jax.Array) else np
        taken = xp.minimum(self.size, self.batch_size)[:, None]
        is_first = xp.arange(self.batch_size) < taken
        share = self.size[:, None] / (self.num_examples * xp.maximum(taken, 1))
        return xp.where(is_first, share, 0.0).astype(np.float32)

    def rows(self, key: Array, iteration: ArrayLike) -> Int[Array, "m b"]:
        """Rows of the source that an iteration takes, compiled.

        min(b, N_j) different ones of partition j, every set of them equally likely, all
        in order where that is all; then these again.

        Args:
            key: of the run.
            iteration: t ≥ 0.
        """
        return _rows(
            (self.number, self.size, self.start, self.order),
            key,
            iteration,
            batch_size=self.batch_size,
            is_whole=self.is_whole,
        )

    def batch(self, key: Array, iteration: ArrayLike) -> Batch:
        """The examples that an iteration takes, read without reading ahead.

        Args:
            key: of the run.
            iteration: t ≥ 0.
        """
        rows = self.rows(key, iteration)
        leaves = jax.tree.leaves(self.source) if isinstance(self.source, Arrays) else ()
        in_jax = leaves and all(isinstance(leaf, jax.Array) for leaf in leaves)
        if in_jax or isinstance(rows, jax.core.Tracer):
            return Batch(_take(self.source, rows), self.weights, self.number)
        return self.host_batch(read_examples(self.source, np.ravel(rows)))

    def host_batch(self, examples: PyTree) -> Batch:
        """The batch of m·b examples, in the order of `rows`, on the host."""
        shape = len(self.size), self.batch_size
        return Batch(
            jax.tree.map(lambda x: np.reshape(x, (*shape, *x.shape[1:])), examples),
            np.asarray(self.weights),
            np.asarray(self.number),
        )

    def select(self, numbers: Sequence[int] | Int[np.ndarray, " s"]) -> "Partitions":
        """These of the partitions, for a worker or a device that holds them.

        A source with `select`, such as `arrays`, is cut down to their examples, so that
        only those are sent to a process.

        Args:
            numbers: different ones of `number`, in the order of the batches.

        Raises:
            ValueError: a number twice or not among `number`, or none.
        """
        wanted = np.asarray(numbers)
        own = np.asarray(self.number)
        if wanted.ndim != 1 or wanted.size == 0 or np.unique(wanted).size < wanted.size:
            raise ValueError(f"numbers must be different partitions, got {numbers!r}")
        if not np.isin(wanted, own).all():
            raise ValueError(
                f"numbers must be among the partitions {own.tolist()}, got {numbers!r}"
            )
        at = np.argsort(own)[np.searchsorted(np.sort(own), wanted)]
        size, start = np.asarray(self.size)[at], np.asarray(self.start)[at]
        order = np.asarray(self.order)
        pieces = [order[s : s + n] for s, n in zip(start, size, strict=True)]
        rows = np.concatenate(pieces) if size.any() else order[:1]  # all are empty
        source = self.source
        if hasattr(source, "select"):
            source, rows = source.select(rows), np.arange(rows.size, dtype=np.int32)
        return dataclasses.replace(
            self,
            source=source,
            number=own[at],
            size=size,
            start=_starts(size),
            order=rows,
            is_whole=bool(self.batch_size >= size.max()),
        )


def partitioned(
    source: DataSource | np.ndarray | Array,
    assignment: ArrayLike,
    *,
    num_partitions: int,
    batch_size: int = 0,
) -> Partitions:
    """Cuts the examples of a source into n partitions.

    Args:
        source: of N examples; an array is `arrays` of it.
        assignment: (N,), the partition of each, 0 to n − 1; some may be empty.
        num_partitions: n.
        batch_size: b, how many examples of each partition an iteration takes, at most
            those of the largest; a partition with fewer is taken whole. 0: that many,
            which is all examples.

    Raises:
        ValueError: an argument out of its range or not of the source's length.

    >>> from jgc.training import arrays
    >>> source = arrays(jnp.array([10.0, 20.0, 30.0, 40.0]))
    >>> cut = partitioned(source, [0, 1, 0, 0], num_partitions=2, batch_size=2)
    >>> batch = cut.batch(jax.random.key(0), 7)
    >>> batch.examples.shape, batch.weights.tolist()
    ((2, 2), [[0.375, 0.375], [0.25, 0.0]])
    """
    n = _checks.count("num_partitions", num_partitions)
    b = _checks.count("batch_size", batch_size, minimum=0)
    if isinstance(source, np.ndarray | jax.Array):
        source = arrays(source)  # its own `take` would count entries, not rows
    number = np.asarray(assignment)
    if number.ndim != 1 or number.size == 0 or number.dtype.kind not in "iu":
        raise ValueError(
            "assignment must be one-dimensional and not empty, of integers; got shape "
            f"{number.shape} of {number.dtype}"
        )
    if number.size != len(source):
        raise ValueError(
            f"assignment must have an entry for each of the source's {len(source)} "
            f"examples, got {number.size}{_HINT if isinstance(source, _TREES) else ''}"
        )
    _checks.numbers_below("assignment", number, n)
    size = np.bincount(number, minlength=n)
    if b > size.max():
        raise ValueError(
            f"batch_size must be at most {size.max()}, the examples of the largest "
            f"partition, got {b}"
        )
    return Partitions(
        source=source,
        number=np.arange(n, dtype=np.int32),
        size=size.astype(np.int32),
        start=_starts(size),
        order=np.argsort(number, kind="stable").astype(np.int32),
        batch_size=b or int(size.max()),
        num_examples=number.size,
        is_whole=b in (0, int(size.max())),
    )


_TREES = (dict, list, tuple)
_HINT = "; the source of a pytree of arrays is jgc.training.arrays(tree)"


def _starts(size: Int[np.ndarray, " m"]) -> Int[np.ndarray, " m"]:
    return (np.cumsum(size) - size).astype(np.int32)


@jax.jit
def _take(source: Arrays, rows: Int[Array, "m b"]) -> PyTree:
    return source.take(rows)


@partial(jax.jit, static_argnames=("batch_size", "is_whole"))
def _rows(
    tables: tuple[Any, Any, Any, Any],
    key: Array,
    iteration: ArrayLike,
    *,
    batch_size: int,
    is_whole: bool,
) -> Int[Array, "m b"]:
    number, size, start, order = map(jnp.asarray, tables)
    if is_whole:
        drawn = jnp.arange(batch_size) % jnp.maximum(size, 1)[:, None]
        return order[jnp.minimum(start[:, None] + drawn, order.size - 1)]
    key = jax.random.fold_in(key, jnp.asarray(iteration))

    def of_partition(number: Array, size: Array, start: Array) -> Int[Array, " b"]:
        key_of_partition = jax.random.fold_in(key, number)
        drawn = _distinct(key_of_partition, size, batch_size)
        # An empty partition repeats an example of another one, at weight 0.
        return order[jnp.minimum(start + drawn, order.size - 1)]

    return jax.vmap(of_partition)(number, size, start)


def _distinct(key: Array, size: Array, batch_size: int) -> Int[Array, " b"]:
    """min(b, N) of 0 to N − 1, every set equally likely [Floyd 1987]; then again.

    Costs b² whatever N is, and depends on nothing else.
    """
    slot = jnp.arange(batch_size)
    taken = jnp.minimum(size, batch_size)
    last = size - taken + slot  # the largest that this slot may take
    guess = jax.random.randint(key, (batch_size,), 0, jnp.maximum(last, 0) + 1)

    def fill(s: Array, chosen: Array) -> Array:
        is_taken = ((chosen == guess[s]) & (slot < s)).any()
        return chosen.at[s].set(jnp.where(is_taken, last[s], guess[s]))

    chosen = jax.lax.fori_loop(0, batch_size, fill, jnp.zeros_like(slot))
    chosen = jnp.where(taken == size, slot, chosen)
    return chosen[slot % jnp.maximum(taken, 1)]
