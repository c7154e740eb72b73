"""Dataclasses as pytrees that JAX never takes for one another."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

import jax
from jax.tree_util import GetAttrKey

T = TypeVar("T")


def pytree(cls: type[T]) -> type[T]:
    """Registers a dataclass as a pytree node, as `register_dataclass` does.

    Fields with `metadata={"static": True}` are structure, the others children. Trees
    of two classes with equally many children are `==` where `register_dataclass` made
    them (jaxlib 0.10), although their hashes differ; the table of compiled programs
    compares a few bits of the hash before it asks, so that about one in a hundred
    processes runs the program of another class. Here the classes are compared too.

    Example:
        >>> from dataclasses import dataclass
        >>> @pytree
        ... @dataclass(frozen=True)
        ... class One:
        ...     pass
        >>> @pytree
        ... @dataclass(frozen=True)
        ... class Other:
        ...     pass
        >>> jax.tree.structure(One()) == jax.tree.structure(Other())
        False
    """
    own = fields(cls)  # type: ignore[arg-type]
    static = tuple(one.name for one in own if one.metadata.get("static"))
    data = tuple(one.name for one in own if not one.metadata.get("static"))
    keys = tuple(GetAttrKey(name) for name in data)

    def flatten(tree: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return (
            tuple(getattr(tree, name) for name in data),
            tuple(getattr(tree, name) for name in static),
        )

    def flatten_with_keys(tree: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        children, structure = flatten(tree)
        return tuple(zip(keys, children, strict=True)), structure

    def unflatten(structure: tuple[Any, ...], children: Iterable[Any]) -> T:
        # Past the constructor: JAX puts objects of its own in the place of arrays.
        tree = object.__new__(cls)
        for names, values in ((data, children), (static, structure)):
            for name, value in zip(names, values, strict=True):
                object.__setattr__(tree, name, value)
        return tree

    jax.tree_util.register_pytree_with_keys(
        cls, flatten_with_keys, unflatten, flatten_func=flatten
    )
    return cls
