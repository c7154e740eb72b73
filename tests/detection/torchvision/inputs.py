"""Weights, images and objects that torchvision and jgc are compared on: NumPy alone.

Made from raw bits of a generator with a fixed algorithm, so that they need not be
stored and never change.
"""

import math
import re
import zlib

import numpy as np

MODELS = ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn")
SHORTER, LONGER = 160, 256  # for RetinaNet, instead of 800 and 1333

# Original height and width; objects as xmin, ymin, xmax, ymax in pixels, and COCO's
# category ids: one image with large, small and touching objects, one tall with one.
IMAGES = {
    "wide": (
        (213, 320),
        [
            [20.0, 30.0, 150.5, 180.25],
            [22.0, 33.0, 140.0, 190.0],
            [200.0, 50.0, 212.5, 61.0],
            [230.0, 100.0, 318.0, 212.0],
        ],
        [1, 18, 44, 90],
    ),
    "tall": ((300, 170), [[35.0, 20.5, 120.0, 260.0]], [62]),
}

# Of the last layers: scores and boxes as a trained network's spread.
POWER = {"cls_logits": 0.03, "bbox_reg": 0.001, r"module_list\.\d\.1\.": 16.0}

LAST_NORM = r"\.bn3\.|\.(block\.[23]|1\.0\.3)\.1\.weight"


def uniform(seed, shape):
    """Numbers in [0, 1)."""
    raw = np.random.PCG64(seed).random_raw(math.prod(shape))
    return ((raw >> 11) * 2.0**-53).reshape(shape)


def weight(name, shape):
    """What a state dict of random weights holds at a name; activations stay near 1."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    u = uniform(zlib.crc32(name.encode()), shape)
    spread = math.sqrt(3) * (2 * u - 1)
    if name.endswith("running_var"):
        value = 0.5 + u
    elif name.endswith("bias"):
        rare = "cls_logits" in name
        value = 0.1 * spread - (2.5 if rare else 0.0)
    elif name.endswith("running_mean"):
        value = 0.1 * spread
    elif len(shape) == 1:  # of a norm; the last one of a residual branch is small
        quiet = 0.2 if "bn3" in name else 0.5
        value = (quiet if re.search(LAST_NORM, name) else 1.0) * (1 + 0.1 * spread)
    else:
        power = next((p for pattern, p in POWER.items() if re.search(pattern, name)), 2)
        value = spread * math.sqrt(power / math.prod(shape[1:]))
    return value.astype(np.float32)


def image(name):
    """Pixels: coarse and fine noise."""
    (height, width), _, _ = IMAGES[name]
    seed = zlib.crc32(name.encode())
    coarse = uniform(seed, (height // 16 + 1, width // 16 + 1, 3))
    coarse = np.repeat(np.repeat(coarse, 16, 0), 16, 1)[:height, :width]
    fine = uniform(seed + 1, (height, width, 3))
    return (255 * (0.7 * coarse + 0.3 * fine)).astype(np.uint8)
