"""Drawing one picture of coloured shapes on a textured ground."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from PIL import Image, ImageDraw, ImageFilter

_OVERSAMPLING = 4
_MIN_VISIBLE = 0.6  # share of a shape that later ones must leave to be seen
_TRIES = 20


class Drawn(NamedTuple):
    """One annotated object.

    Attributes:
        label: index into `CLASS_NAMES`.
        mask: the pixels in which it is seen.
        crowd: a crowd of small shapes of that class, annotated as one.
    """

    label: int
    mask: Bool[np.ndarray, "H W"]
    crowd: bool


class _Shape(NamedTuple):
    """A shape's silhouette, placed: rows top … of columns left … of the picture."""

    left: int
    top: int
    alpha: Float32[np.ndarray, "h w"]


def _polygon(radii: list[float], turn: float) -> list[tuple[float, float]]:
    """Corners at equal angles; the first points up. A star alternates its radii."""
    angles = [2 * math.pi * i / len(radii) - math.pi / 2 for i in range(len(radii))]
    return [
        (r * math.cos(angle + turn), r * math.sin(angle + turn))
        for r, angle in zip(radii, angles, strict=True)
    ]


def _cross(turn: float) -> list[tuple[float, float]]:
    arm, half = 1.0, 0.36
    quarter = [(half, -arm), (half, -half), (arm, -half)]
    corners = []
    for step in range(4):
        angle = turn + step * math.pi / 2
        cos, sin = math.cos(angle), math.sin(angle)
        corners += [(x * cos - y * sin, x * sin + y * cos) for x, y in quarter]
    return corners


def _circle(turn: float) -> list[tuple[float, float]]:
    return _polygon([1.0] * 64, turn)


# Each gives a closed outline within the unit circle (the cross: a little beyond).
_OUTLINES: dict[str, Callable[[float], list[tuple[float, float]]]] = {
    "circle": _circle,
    "square": lambda turn: _polygon([1.0] * 4, turn + math.pi / 4),
    "triangle": lambda turn: _polygon([1.0] * 3, turn),
    "star": lambda turn: _polygon([1.0, 0.42] * 5, turn),
    "cross": _cross,
    "ring": _circle,
}
CLASS_NAMES = tuple(_OUTLINES)
_HOLE = 0.55  # the ring's inner radius


def draw_picture(
    rng: np.random.Generator,
    *,
    width: int,
    height: int,
    num_objects: int,
    diameters: tuple[float, float],
    hue_range: float,
    crowd: bool,
) -> tuple[UInt8[np.ndarray, "H W 3"], list[Drawn]]:
    """Draws shapes that overlap, none of them hidden by more than 40 %.

    Args:
        rng: what to draw from.
        width: pixels, at least 16.
        height: pixels, at least 16.
        num_objects: shapes to place; one that finds no room is left out.
        diameters: least and most, as shares of the shorter side, at most 0.8.
        hue_range: of a class's colours around its own, in [0, 1] of all hues.
        crowd: add a crowd of small shapes of one class.

    Returns:
        The picture, and its objects in the order in which they were drawn.
    """
    scene = _Scene(_ground(rng, width, height))
    if crowd:
        label = int(rng.integers(len(CLASS_NAMES)))
        shapes = _crowd(rng, label, width, height)
        scene.place(label, shapes, _colour(rng, label, hue_range), crowd=True)
    smallest, largest = (math.log(min(width, height) * s) for s in diameters)
    for _ in range(num_objects):
        label = int(rng.integers(len(CLASS_NAMES)))
        for _ in range(_TRIES):
            diameter = math.exp(rng.uniform(smallest, largest))
            shape = _shape(rng, label, diameter, (0, 0, width, height))
            colour = _colour(rng, label, hue_range)
            if scene.place(label, [shape], colour, crowd=False):
                break
    return np.rint(scene.pixels).clip(0, 255).astype(np.uint8), scene.objects


class _Scene:
    """A picture under way, and what can be seen of its objects."""

    def __init__(self, ground: Float32[np.ndarray, "H W 3"]) -> None:
        self.pixels = ground
        self.objects: list[Drawn] = []
        self._sizes: list[int] = []  # pixels of each object, hidden ones included

    def place(
        self,
        label: int,
        shapes: Sequence[_Shape],
        colour: Float32[np.ndarray, "3"],
        *,
        crowd: bool,
    ) -> bool:
        """Paints shapes as one object, unless they hide too much of another.

        Returns:
            Whether it was painted.
        """
        alpha = np.zeros(self.pixels.shape[:2], np.float32)
        for shape in shapes:
            h, w = shape.alpha.shape
            part = alpha[shape.top : shape.top + h, shape.left : shape.left + w]
            np.maximum(part, shape.alpha, out=part)
        covered = alpha > 0.5
        remaining = [drawn.mask & ~covered for drawn in self.objects]
        for mask, size in zip(remaining, self._sizes, strict=True):
            if mask.sum() < _MIN_VISIBLE * size:
                return False
        self.objects = [
            drawn._replace(mask=mask)
            for drawn, mask in zip(self.objects, remaining, strict=True)
        ]
        self.objects.append(Drawn(label, covered, crowd))
        self._sizes.append(int(covered.sum()))
        _paint(self.pixels, alpha, colour)
        return True


def _shape(
    rng: np.random.Generator,
    label: int,
    diameter: float,
    area: tuple[int, int, int, int],
) -> _Shape:
    """Places a turned shape wholly in area (left, top, right, bottom)."""
    name = CLASS_NAMES[label]
    turn = rng.uniform(-math.pi / 5, math.pi / 5)
    stretch = rng.uniform(0.8, 1.0)
    radius = diameter / 2 * _OVERSAMPLING
    box = _OVERSAMPLING * math.ceil(diameter * 1.08 + 1)  # the cross's corners fit

    def scaled(factor: float) -> list[tuple[float, float]]:
        return [
            (box / 2 + x * radius * factor, box / 2 + y * radius * factor * stretch)
            for x, y in _OUTLINES[name](turn)
        ]

    mask = Image.new("L", (box, box))
    draw = ImageDraw.Draw(mask)
    draw.polygon(scaled(1.0), fill=255)
    if name == "ring":
        draw.polygon(scaled(_HOLE), fill=0)
    small = mask.resize((box // _OVERSAMPLING,) * 2, Image.Resampling.BOX)
    alpha = np.asarray(small, np.float32) / 255
    left, top, right, bottom = area
    h, w = alpha.shape
    return _Shape(
        left=int(rng.integers(left, max(right - w, left) + 1)),
        top=int(rng.integers(top, max(bottom - h, top) + 1)),
        alpha=alpha,
    )


def _crowd(
    rng: np.random.Generator, label: int, width: int, height: int
) -> list[_Shape]:
    """Scatters small shapes of one class in a part of the picture."""
    diameter = 0.1 * min(width, height)
    w = int(rng.uniform(0.35, 0.6) * width)
    h = int(rng.uniform(0.25, 0.4) * height)
    left = int(rng.integers(0, width - w))
    top = int(rng.integers(0, height - h))
    return [
        _shape(rng, label, diameter, (left, top, left + w, top + h)) for _ in range(14)
    ]


def _colour(
    rng: np.random.Generator, label: int, hue_range: float
) -> Float32[np.ndarray, "3"]:
    """A saturated colour, as the ground's never are, around the class's own."""
    around = 6 * hue_range * rng.uniform(-0.5, 0.5)
    hue, value = 6 * label / len(CLASS_NAMES) + around, rng.uniform(0.75, 1.0)
    low = rng.uniform(0.0, 0.25)
    channel = np.abs((hue + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1
    colour = low + (1 - low) * np.clip(channel, 0, 1)
    return (255 * value * colour).astype(np.float32)


def _paint(
    picture: Float32[np.ndarray, "H W 3"],
    alpha: Float32[np.ndarray, "H W"],
    colour: Float32[np.ndarray, "3"],
) -> None:
    """Lays a shape over the picture, lit from the top left, with a dark rim."""
    height, width = alpha.shape
    soft = ImageFilter.GaussianBlur(max(1.0, min(height, width) / 64))
    mask = Image.fromarray(np.rint(alpha * 255).astype(np.uint8))
    blurred = np.asarray(mask.filter(soft), np.float32) / 255
    slope_y, slope_x = np.gradient(blurred)
    light = 0.72 + 0.28 * blurred + 1.2 * (slope_x + slope_y)
    shaded = np.clip(light, 0.35, 1.25)[..., None] * colour
    picture += alpha[..., None] * (np.minimum(shaded, 255) - picture)


def _ground(
    rng: np.random.Generator, width: int, height: int
) -> Float32[np.ndarray, "H W 3"]:
    """Clouds between two dull colours, sometimes striped, with grain."""
    clouds = np.zeros((height, width), np.float32)
    for octave in range(4):
        cells = 2 + 3 * 2**octave
        noise = rng.random((cells, cells), np.float32)
        smooth = Image.fromarray(noise).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        clouds += np.asarray(smooth) / 2**octave
    clouds = (clouds - clouds.min()) / (np.ptp(clouds) + 1e-6)
    if rng.random() < 0.35:
        y, x = np.mgrid[:height, :width] / min(width, height)
        angle, waves = rng.uniform(0, math.pi), rng.uniform(3, 9)
        phase = (x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi * waves
        clouds = 0.65 * clouds + 0.35 * (0.5 + 0.5 * np.sin(phase))
    grey = rng.uniform(40, 215)
    tint = rng.uniform(-28, 28, (2, 3))
    dark = grey + tint[0] - rng.uniform(15, 40)
    light = grey + tint[1] + rng.uniform(15, 40)
    ground = dark + clouds[..., None] * (light - dark)
    ground = ground + rng.normal(0, 3, (height, width, 1))
    return ground.clip(0, 255).astype(np.float32)
