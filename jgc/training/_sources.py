"""Where examples come from: anything with a length that gives its i-th example.

A source may do more, and is then used by it: `take(rows)`, many examples at once, and
`select(rows)`, the source of these examples alone, for a worker of its own process.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Int, PyTree
from numpy.typing import ArrayLike

from jgc._pytree import pytree


@runtime_checkable
class DataSource(Protocol):
    """Random access to N examples, from any thread.

    A list, a grain `RandomAccessDataSource`, `tfds.data_source(…)`, or a user's own.
    An example is a pytree of arrays without a leading axis, each of the same shape in
    every example. What processes of their own shall read must pickle, and small: paths
    instead of contents.
    """

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, index: int, /) -> PyTree:
        """Example `index`, 0 to N − 1."""
        ...


@runtime_checkable
class _Takes(Protocol):
    def take(self, rows: Int[np.ndarray, "..."]) -> PyTree: ...


@pytree
@dataclass(frozen=True)
class Arrays:
    """Examples in memory; get one from `arrays`.

    Attributes:
        tree: a pytree of arrays with a leading axis over the N examples.
    """

    tree: PyTree

    def __len__(self) -> int:
        return len(jax.tree.leaves(self.tree)[0])

    def __getitem__(self, index: int) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[index], self.tree)

    def take(self, rows: Int[Any, "*shape"]) -> PyTree:
        """The examples of `rows`, of each leaf (*shape, …); also under jit."""
        return jax.tree.map(lambda leaf: leaf[rows], self.tree)

    def select(self, rows: Int[np.ndarray, " m"]) -> "Arrays":
        """A copy of these examples alone."""
        return Arrays(self.take(np.asarray(rows)))


def arrays(tree: PyTree) -> Arrays:
    """The source of examples in memory; nothing is copied.

    Args:
        tree: a pytree of NumPy or JAX arrays with a leading axis over the N examples.

    Raises:
        ValueError: no array, none of an axis, different lengths, or no example.

    >>> source = arrays({"x": np.arange(6).reshape(3, 2), "y": np.zeros(3)})
    >>> len(source), source[2]["x"].tolist()
    (3, [4, 5])
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    shapes = {
        jax.tree_util.keystr(path) or "tree": np.shape(leaf) for path, leaf in leaves
    }
    lengths = {shape[0] if shape else None for shape in shapes.values()}
    if len(lengths) != 1 or lengths & {None, 0}:
        raise ValueError(
            "arrays must have a leading axis over the same number of examples, at "
            f"least 1; got shapes {shapes}"
        )
    return Arrays(tree)


def read_examples(source: DataSource, rows: ArrayLike) -> PyTree:
    """The examples of `rows` with a leading axis, one after another where need be."""
    rows = np.asarray(rows)
    if isinstance(source, _Takes):
        return source.take(rows)
    return collect((source[int(row)] for row in rows), len(rows))


def collect(examples: Iterable[PyTree], count: int) -> PyTree:
    """The next `count` examples with a leading axis, as host arrays.

    Each is copied as it comes, so that no second copy of all is in memory.

    Args:
        examples: at least so many.
        count: at least 1.

    Raises:
        ValueError: their trees or shapes differ.
    """
    whole: PyTree = None
    shapes: PyTree = None
    for index, example in enumerate(islice(examples, count)):
        if index == 0:
            shapes = jax.tree.map(np.shape, example)
            whole = jax.tree.map(
                lambda leaf: np.empty((count, *np.shape(leaf)), np.asarray(leaf).dtype),
                example,
            )
        found = jax.tree.map(np.shape, example)
        if found != shapes:
            raise ValueError(
                "examples of a source must have the same arrays of the same shapes; "
                f"got {shapes} and {found}"
            )
        for to, leaf in zip(
            jax.tree.leaves(whole), jax.tree.leaves(example), strict=True
        ):
            to[index] = leaf
    return whole
