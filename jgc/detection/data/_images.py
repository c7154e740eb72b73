"""Decoding and resizing image files, without TensorFlow."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image

# What Pillow raises for broken files: most are OSError, broken PNG chunks are
# SyntaxError, broken EXIF and palettes ValueError, absurd sizes the last.
DECODE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def decode_image(encoded: bytes) -> Image.Image:
    """Decodes all of an image file to RGB.

    Grey, palette, CMYK and transparent images are converted; an EXIF orientation
    is ignored, as COCO's annotations and TFDS ignore it. Sixteen bits are scaled to
    eight; Pillow alone would cut them off at 255.

    Raises:
        DECODE_ERRORS: the file is truncated, broken or not an image.
    """
    with Image.open(io.BytesIO(encoded)) as image:
        if image.mode.startswith("I;16"):
            grey = np.asarray(image, np.float32) / 257
            return Image.fromarray(np.rint(grey).astype(np.uint8)).convert("RGB")
        return image.convert("RGB")


def resize_to_square(image: Image.Image, *, size: int) -> UInt8[np.ndarray, "S S 3"]:
    """Stretches an image to size × size pixels, bilinear with antialiasing."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
