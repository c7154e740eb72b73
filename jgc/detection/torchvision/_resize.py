"""torchvision's way from an image of any size to a detector's input."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8


class Canvas(NamedTuple):
    """An image as a network sees it.

    Attributes:
        pixels: normalised, zeros where padded.
        extent: the height and width that the image takes of it, in (0, 1].
    """

    pixels: Float[np.ndarray, "H W 3"]
    extent: tuple[float, float]


def stretched(
    image: UInt8[np.ndarray, "h w 3"],
    *,
    size: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Canvas:
    """The image stretched to a square: torchvision's SSD."""
    return Canvas(_resize(_normalise(image, mean, std), (size, size)), (1.0, 1.0))


def fitted(
    image: UInt8[np.ndarray, "h w 3"],
    *,
    shorter: int,
    longer: int,
    multiple: int,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Canvas:
    """The image resized in proportion, then padded: torchvision's RetinaNet.

    Args:
        image: pixels, 0 to 255.
        shorter: side that the image's shorter one is brought to,
        longer: unless its longer one went beyond this.
        multiple: of pixels to which the sides are padded, at the bottom and right.
        mean: subtracted from each channel of an image in [0, 1].
        std: divides the result.
    """
    sides = image.shape[:2]
    factor = min(shorter / min(sides), longer / max(sides))
    height, width = int(sides[0] * factor), int(sides[1] * factor)
    padded = [math.ceil(side / multiple) * multiple for side in (height, width)]
    pixels = np.zeros((*padded, 3), np.float32)
    pixels[:height, :width] = _resize(_normalise(image, mean, std), (height, width))
    return Canvas(pixels, (height / padded[0], width / padded[1]))


def _normalise(
    image: UInt8[np.ndarray, "h w 3"],
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Float[np.ndarray, "h w 3"]:
    scaled = image.astype(np.float32) / np.float32(255)
    return (scaled - np.array(mean, np.float32)) / np.array(std, np.float32)


def _resize(
    image: Float[np.ndarray, "h w 3"], shape: tuple[int, int]
) -> Float[np.ndarray, "H W 3"]:
    """Bilinear between pixels' centres, without the antialiasing of Pillow's."""
    rows, row_share = _neighbours(image.shape[0], shape[0])
    columns, column_share = _neighbours(image.shape[1], shape[1])
    share = row_share[:, None, None]
    image = image[rows[0]] * (1 - share) + image[rows[1]] * share
    share = column_share[None, :, None]
    return image[:, columns[0]] * (1 - share) + image[:, columns[1]] * share


def _neighbours(
    old: int, new: int
) -> tuple[tuple[np.ndarray, np.ndarray], Float[np.ndarray, " new"]]:
    """The two pixels between which each new one lies, and the second one's share."""
    # torch rounds to float32 once, after a fused multiplication and subtraction: in
    # other orders shares differ by 2e-5, and a network's outputs by 100 times that.
    step = np.float64(np.float32(old) / np.float32(new))
    place = (step * (np.arange(new) + 0.5) - 0.5).astype(np.float32)
    place = np.maximum(place, 0)
    first = np.minimum(place.astype(np.int64), old - 1)
    second = np.minimum(first + 1, old - 1)
    return (first, second), (place - first).astype(np.float32)
