"""Anchors: boxes of a few shapes, centred on every pixel of every feature map."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Shape = tuple[float, float]


@dataclass(frozen=True)
class AnchorGrid:
    """Where a detector's anchors are, as plain numbers: hashable, made into boxes late.

    Attributes:
        maps: height and width in pixels of each feature map.
        shapes: for each map, the (height, width) of the anchors on each of its
            pixels, relative to the image.

    Raises:
        ValueError: as many maps as shape lists are needed, and positive sizes.
    """

    maps: tuple[tuple[int, int], ...]
    shapes: tuple[tuple[Shape, ...], ...]

    def __post_init__(self) -> None:
        if len(self.maps) != len(self.shapes):
            raise ValueError(
                f"shapes has {len(self.shapes)} entries for {len(self.maps)} maps; "
                "give one list of anchor shapes for each map"
            )
        if any(side < 1 for sides in self.maps for side in sides):
            raise ValueError(f"maps is {self.maps}; sides are at least 1")
        if any(s <= 0 for level in self.shapes for shape in level for s in shape):
            raise ValueError(
                f"shapes is {self.shapes}; heights and widths are positive"
            )

    @property
    def per_pixel(self) -> tuple[int, ...]:
        """Anchors on each pixel, for each map."""
        return tuple(len(shapes) for shapes in self.shapes)

    @property
    def count(self) -> int:
        """Anchors in all."""
        return sum(
            height * width * len(shapes)
            for (height, width), shapes in zip(self.maps, self.shapes, strict=True)
        )

    def boxes(self) -> Float[np.ndarray, "A 4"]:
        """All anchors, in the order of a head's outputs: map, row, column, shape.

        They may reach beyond the image: a box cut at its edge would have another
        centre and size for the network to tell apart.
        """
        levels = []
        for (height, width), shapes in zip(self.maps, self.shapes, strict=True):
            rows = (np.arange(height) + 0.5) / height
            columns = (np.arange(width) + 0.5) / width
            centres = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
            half = np.asarray(shapes, dtype=np.float64).reshape(-1, 2) / 2
            centres = centres[:, :, None, :]
            corners = np.concatenate([centres - half, centres + half], axis=-1)
            levels.append(corners.reshape(-1, 4))
        return np.concatenate(levels).astype(np.float32)


def linear_scales(
    levels: int, *, min_scale: float, max_scale: float
) -> tuple[float, ...]:
    """SSD's scales: evenly spaced over the levels, then 1 (Liu et al., 2016, eq. 4).

    Raises:
        ValueError: 0 < min_scale <= max_scale <= 1 does not hold.
    """
    if not 0 < min_scale <= max_scale <= 1:
        raise ValueError(
            f"min_scale is {min_scale} and max_scale is {max_scale}; "
            "they hold 0 < min_scale <= max_scale <= 1"
        )
    return (*(float(s) for s in np.linspace(min_scale, max_scale, levels)), 1.0)


def ssd_shapes(
    scales: Sequence[float], *, aspect_ratios: Sequence[float] = (2.0, 3.0)
) -> tuple[tuple[Shape, ...], ...]:
    """SSD's default boxes: on level l, a square of scale s_l, one of √(s_l s_{l+1}),
    and for each aspect ratio a wide and a tall box of area s_l².

    Args:
        scales: one for each level and one more, relative to the image, positive.
        aspect_ratios: longer side over shorter, above 1.

    Returns:
        For each level, 2 + 2·len(aspect_ratios) pairs (height, width).

    Raises:
        ValueError: a scale is not positive, there are fewer than two, or an aspect
            ratio is not above 1.
    """  # noqa: D205 - the formula does not fit a line
    if len(scales) < 2 or min(scales) <= 0:
        raise ValueError(
            f"scales is {tuple(scales)}; give at least two positive numbers, one for "
            "each level and one more"
        )
    if any(ratio <= 1 for ratio in aspect_ratios):
        raise ValueError(
            f"aspect_ratios is {tuple(aspect_ratios)}; give numbers above 1: each "
            "makes a wide and a tall box, and squares are always there"
        )
    levels = []
    for scale, following in itertools.pairwise(scales):
        between = math.sqrt(scale * following)
        shapes = [(scale, scale), (between, between)]
        for ratio in aspect_ratios:
            long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
            shapes += [(short, long), (long, short)]
        levels.append(tuple(shapes))
    return tuple(levels)
