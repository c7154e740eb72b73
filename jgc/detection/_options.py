"""Options that detectors share, checked once."""

import itertools
from collections.abc import Sequence

from jgc.detection._checks import check
from jgc.detection.models._layers import NORMS

ImageSize = int | tuple[int, int]
"""Side of a square, or height and width, in pixels."""


def image_shape(image_size: ImageSize) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: a side is below 32.
    """
    shape = (image_size, image_size) if isinstance(image_size, int) else image_size
    accepted = "at least 32, one number or height and width"
    check("image_size", image_size, len(shape) == 2 and min(shape) >= 32, accepted)
    return shape


def check_network(*, width: float, residual_scale: float, norm: str) -> None:
    """Check what every network takes.

    Raises:
        ValueError: an option is out of its range.
    """
    check("width", width, 0 < width <= 4, "in (0, 4]")
    check("residual_scale", residual_scale, 0 <= residual_scale <= 1, "in [0, 1]")
    check("norm", norm, norm in NORMS, f"one of {NORMS}")


def useful_strides(
    strides: Sequence[int], accepted: Sequence[int], shape: tuple[int, int]
) -> tuple[int, ...]:
    """The strides up to the first whose map is one pixel: beyond is nothing to halve.

    Raises:
        ValueError: they don't increase or aren't among the accepted.
    """
    chosen = tuple(strides)
    increasing = all(a < b for a, b in itertools.pairwise(chosen))
    holds = bool(chosen) and increasing and set(chosen) <= set(accepted)
    check("strides", chosen, holds, f"increasing, from {tuple(accepted)}")
    return tuple(
        s for i, s in enumerate(chosen) if i == 0 or chosen[i - 1] < max(shape)
    )
