"""Checks of what callers pass: errors name the argument, the value and the rule."""

import operator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike


def count(name: str, value: Any, *, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`."""
    try:
        result = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}") from None
    if isinstance(value, bool | np.bool_) or result < minimum:
        raise ValueError(f"{name} must be an integer ≥ {minimum}, got {value!r}")
    return result


def vector(
    name: str, value: ArrayLike, *, may_be_empty: bool = False
) -> Float[np.ndarray, " size"]:
    """`value` as a new one-dimensional float64 array, finite; by default not empty."""
    array = _numbers(name, value)
    if array.ndim != 1 or (array.size == 0 and not may_be_empty):
        rule = "one-dimensional" if may_be_empty else "one-dimensional and not empty"
        raise ValueError(f"{name} must be {rule}, got shape {array.shape}")
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(f"{name} must be finite, got {name}[{at}] = {array[at]}")
    return array


def within(name: str, value: ArrayLike, low: float, high: float) -> np.ndarray:
    """`value` as a `vector` whose entries lie in [low, high]."""
    array = vector(name, value)
    outside = (array < low) | (array > high)
    if outside.any():
        at = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"{name} must lie in [{low:g}, {high:g}], "
            f"got {name}[{at}] = {float(array[at])!r}"
        )
    return array


def numbers_below(name: str, value: Int[np.ndarray, "..."], count: int) -> None:
    """Refuses integers outside [0, count), such as the number of a partition."""
    if value.size and not (value.min() >= 0 and value.max() < count):
        raise ValueError(
            f"{name} must lie in [0, {count}), got entries from {value.min()} to "
            f"{value.max()}"
        )


def integers(
    name: str, value: ArrayLike, *, size: int, below: int
) -> Int[np.ndarray, " size"]:
    """`value` as a vector of `size` integers in [0, below)."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of unequal lengths
        raise ValueError(f"{name} must be {size} integers: {error}") from None
    if array.size == 0:
        array = array.astype(np.int64)
    if array.shape != (size,) or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be {size} integers, got {array.dtype} of shape {array.shape}"
        )
    numbers_below(name, array, below)
    return array.astype(np.int64)


def matrix(name: str, value: ArrayLike) -> Float[np.ndarray, "rows columns"]:
    """`value` as a new two-dimensional float64 array, not empty, finite."""
    array = _numbers(name, value)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be two-dimensional, not empty and finite, got shape "
            f"{array.shape}"
        )
    return array


def one_or_each(
    name: str, value: ArrayLike, size: int, owner: str
) -> Float[np.ndarray, " size"]:
    """A number for all, or one for each `owner`, as a `vector` of `size`."""
    array = _numbers(name, value)
    if array.ndim == 0:
        array = np.broadcast_to(array, (size,))
    if array.shape != (size,):
        raise ValueError(
            f"{name} must be a number or {size} of them, one a {owner}, got shape "
            f"{array.shape}"
        )
    return vector(name, array)


def scalar(name: str, value: Any, low: float = -np.inf, high: float = np.inf) -> float:
    """`value` as a finite float in [low, high]."""
    array = _numbers(name, value)
    if array.ndim != 0 or not np.isfinite(array) or not low <= array <= high:
        bounds = f" in [{low:g}, {high:g}]" if (low, high) != (-np.inf, np.inf) else ""
        raise ValueError(f"{name} must be a finite number{bounds}, got {value!r}")
    return float(array)


def probabilities(
    p: ArrayLike, *, name: str = "p", some_answer: bool = True
) -> Float[np.ndarray, " k"]:
    """Straggler probabilities in [0, 1], by default not all 1."""
    array = within(name, p, 0.0, 1.0)
    if some_answer and (array == 1).all():
        raise ValueError(
            f"{name} must have an entry below 1: with all {array.size} workers at 1 "
            "no gradient ever arrives"
        )
    return array


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.array(value)
    except ValueError as error:  # rows of unequal lengths
        raise ValueError(f"{name} must be an array of numbers: {error}") from None
    if array.dtype.kind in "bcOSUMm":
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype}")
    return array.astype(np.float64)
