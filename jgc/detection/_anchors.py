"""Anchors: boxes of a few shapes, centred on every pixel of every feature map."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Shape = tuple[float, float]
"""Height and width, relative to the image."""


@dataclass(frozen=True)
class AnchorGrid:
    """Where a detector's anchors are, as plain numbers: hashable, made into boxes late.

    Attributes:
        maps: height and width in pixels of each feature map.
        shapes: for each map, the (height, width) of the anchors on each of its
            pixels, relative to the image.
        steps: for each map, the (height, width) from one pixel's anchors to the
            next's, relative to the image; None: such that the map covers the image.
        offset: of the first pixel's centre, in steps.

    Raises:
        ValueError: as many maps as shape lists and steps are needed, and positive
            sizes.
    """

    maps: tuple[tuple[int, int], ...]
    shapes: tuple[tuple[Shape, ...], ...]
    steps: tuple[Shape, ...] | None = None
    offset: float = 0.5

    def __post_init__(self) -> None:
        if len(self.maps) != len(self.shapes):
            raise ValueError(
                f"shapes has {len(self.shapes)} entries for {len(self.maps)} maps; "
                "give one list of anchor shapes for each map"
            )
        steps = self.maps if self.steps is None else self.steps
        if len(steps) != len(self.maps) or any(s <= 0 for pair in steps for s in pair):
            raise ValueError(
                f"steps is {self.steps}; give a positive height and width for each of "
                f"{len(self.maps)} maps, or None"
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
    def per_level(self) -> tuple[int, ...]:
        """Anchors of each map."""
        return tuple(
            height * width * len(shapes)
            for (height, width), shapes in zip(self.maps, self.shapes, strict=True)
        )

    @property
    def count(self) -> int:
        """Anchors in all."""
        return sum(self.per_level)

    def boxes(self) -> Float[np.ndarray, "A 4"]:
        """All anchors, in the order of a head's outputs: map, row, column, shape.

        They may reach beyond the image: a box cut at its edge would have another
        centre and size for the network to tell apart.
        """
        steps = self.steps or [(1 / height, 1 / width) for height, width in self.maps]
        levels = []
        for (height, width), (down, right), shapes in zip(
            self.maps, steps, self.shapes, strict=True
        ):
            rows = (np.arange(height) + self.offset) * down
            columns = (np.arange(width) + self.offset) * right
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
    scales: Sequence[float],
    *,
    aspect_ratios: Sequence[float] = (2.0, 3.0),
    largest: float = math.inf,
) -> tuple[tuple[Shape, ...], ...]:
    """SSD's default boxes: on level l, a square of scale s_l, one of √(s_l s_{l+1}),
    and for each aspect ratio a wide and a tall box of area s_l².

    Args:
        scales: one for each level and one more, relative to the image, positive.
        aspect_ratios: longer side over shorter, above 1.
        largest: sides beyond it are cut to it; torchvision cuts at 1, the image.

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
        levels.append(tuple((min(h, largest), min(w, largest)) for h, w in shapes))
    return tuple(levels)


def pyramid_shapes(
    strides: Sequence[int],
    image_shape: tuple[int, int],
    *,
    base_size: float = 4.0,
    scales: Sequence[float] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3)),
    aspect_ratios: Sequence[float] = (0.5, 1.0, 2.0),
) -> tuple[tuple[Shape, ...], ...]:
    """RetinaNet's anchors: on each level every ratio in every scale.

    An anchor of scale s and ratio r has s·base_size·stride/√r by s·base_size·stride·√r
    pixels, width by height (Lin et al., "Focal Loss for Dense Object Detection", 2017,
    section 4).

    Args:
        strides: one for each level, in pixels.
        image_shape: height and width in pixels.
        base_size: side of a square of scale 1, in strides, positive.
        scales: positive.
        aspect_ratios: height over width, positive.

    Returns:
        For each level, len(aspect_ratios)·len(scales) pairs (height, width) relative
        to the image, the ratio changing slowest.

    Raises:
        ValueError: a number is not positive.
    """
    numbers = {
        "base_size": (base_size,),
        "scales": tuple(scales),
        "aspect_ratios": tuple(aspect_ratios),
    }
    for name, values in numbers.items():
        if not values or min(values) <= 0:
            raise ValueError(f"{name} is {values}; accepted: positive numbers")
    height, width = image_shape
    return tuple(
        tuple(
            (size * math.sqrt(ratio) / height, size / math.sqrt(ratio) / width)
            for ratio in aspect_ratios
            for size in (base_size * stride * scale for scale in scales)
        )
        for stride in strides
    )
