"""Checks of what the bounds are given, and the recursion that two of them are."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc import _checks


def iterates(value: ArrayLike) -> Float[np.ndarray, " T"]:
    """Numbers of iterates, counted from 1."""
    t = _checks.vector("iterates", value)
    if (t < 1).any():
        raise ValueError(f"iterates are counted from 1, got {t.min():g}")
    return t


def horizons(value: ArrayLike) -> Float[np.ndarray, " T"]:
    """Numbers of last iterates, counted from 0."""
    return _checks.within("horizons", value, 0, np.inf)


def steps(value: ArrayLike) -> Float[np.ndarray, " T"]:
    """Step sizes above 0."""
    sizes = _checks.vector("step_sizes", value)
    if (sizes <= 0).any():
        raise ValueError(f"step_sizes must be above 0, got {sizes.min():g}")
    return sizes


def positive(name: str, value: float) -> float:
    """A finite number above 0."""
    number = _checks.scalar(name, value)
    if number <= 0:
        raise ValueError(f"{name} must be above 0, got {value!r}")
    return number


def smoothness(value: float, strong_convexity: float) -> float:
    """μ, at least λ."""
    mu = positive("smoothness", value)
    if mu < strong_convexity:
        raise ValueError(
            f"smoothness must be at least strong_convexity = {strong_convexity!r}, "
            f"got {value!r}"
        )
    return mu


def recursion(
    start: float, factors: Float[np.ndarray, " T"], terms: Float[np.ndarray, " T"]
) -> Float[np.ndarray, " T+1"]:
    """r_0 = start and r_{t+1} = factor_t r_t + term_t."""
    values = [start]
    for factor, term in zip(factors.tolist(), terms.tolist(), strict=True):
        values.append(factor * values[-1] + term)
    return np.array(values)
