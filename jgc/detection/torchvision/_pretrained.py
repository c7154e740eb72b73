"""torchvision's detectors with a user's weights, on images of any size."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jgc.detection._checks import check
from jgc.detection._detector import Detector
from jgc.detection._types import Detections
from jgc.detection.torchvision._convert import Weights
from jgc.detection.torchvision._resize import Canvas, fitted, stretched
from jgc.detection.torchvision._retinanet import retinanet, retinanet_weights
from jgc.detection.torchvision._ssdlite import ssdlite320_weights
from jgc.detection.torchvision._state_dict import read_state_dict


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A detector of torchvision's and its weights.

    Attributes:
        detector: for one size of the network's input.
        weights: its parameters and constants; they fit every size.
        category_ids: COCO's category id of each label, as torchvision's weights for
            COCO have them.
        shorter: side in pixels that an image's shorter one is brought to,
        longer: unless its longer one went beyond this; None: images are stretched to
            the detector's square.
    """

    detector: Detector
    weights: Weights
    category_ids: tuple[int, ...]
    shorter: int | None = None
    longer: int | None = None

    def detect(self, image: UInt8[np.ndarray, "h w 3"]) -> Detections:
        """What the network sees in one image of any size, as torchvision does.

        The image is resized and padded as torchvision does it. Each size of input is
        compiled once: RetinaNet has some forty of them on COCO.

        Args:
            image: pixels, 0 to 255.

        Returns:
            K detections, without a batch axis, relative to the image.

        Raises:
            ValueError: `image` has another shape or type.
        """
        canvas = self.canvas(image)
        detector = self.detector_for(canvas.pixels.shape[:2])
        found = _detect(
            detector,
            self.weights,
            canvas.pixels[None],
            jnp.asarray(canvas.extent, jnp.float32)[None],
        )
        return jax.tree.map(lambda leaf: leaf[0], found)

    def canvas(self, image: UInt8[np.ndarray, "h w 3"]) -> Canvas:
        """The image as the network sees it.

        Raises:
            ValueError: `image` has another shape or type.
        """
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"image has shape {image.shape} and dtype {image.dtype}; give uint8 of "
                "shape (height, width, 3)"
            )
        options = {"mean": self.detector.mean, "std": self.detector.std}
        if self.shorter is None or self.longer is None:
            return stretched(image, size=self.detector.image_shape[0], **options)
        return fitted(
            image, shorter=self.shorter, longer=self.longer, multiple=32, **options
        )

    def detector_for(self, shape: tuple[int, int]) -> Detector:
        """The same detector for an input of other sides."""
        if shape == self.detector.image_shape:
            return self.detector
        return retinanet(
            num_classes=self.detector.num_classes, image_size=(shape[0], shape[1])
        )


@functools.partial(jax.jit, static_argnums=0)
def _detect(
    detector: Detector, weights: Weights, pixels: Any, extent: Any
) -> Detections:
    predictions = detector.predict_scaled(
        weights.params, pixels, constants=weights.constants
    )
    return detector.detections_of(predictions, extent=extent)


def _ssdlite(arrays: Mapping[str, np.ndarray]) -> Pretrained:
    detector, weights = ssdlite320_weights(arrays)
    # Label 0 is torchvision's 1: the background comes first there.
    return Pretrained(detector, weights, tuple(range(1, detector.num_classes + 1)))


def _retinanet(arrays: Mapping[str, np.ndarray]) -> Pretrained:
    detector, weights = retinanet_weights(arrays)
    categories = tuple(range(detector.num_classes))
    return Pretrained(detector, weights, categories, shorter=800, longer=1333)


#: By torchvision's name: from a state dict to the detector with its weights.
MODELS: dict[str, Callable[[Mapping[str, np.ndarray]], Pretrained]] = {
    "retinanet_resnet50_fpn": _retinanet,
    "ssdlite320_mobilenet_v3_large": _ssdlite,
}
"""By torchvision's names."""


def load(
    name: str, weights: str | os.PathLike[str] | Mapping[str, np.ndarray]
) -> Pretrained:
    """A detector of torchvision's with a user's weights; neither torch is needed.

    Args:
        name: "ssdlite320_mobilenet_v3_large" or "retinanet_resnet50_fpn".
        weights: a file of `torch.save(model.state_dict(), …)` or safetensors, such as
            torchvision publishes, or its arrays by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: there is no such name, the file is no state dict, or it is another
            network's.
    """
    check("name", name, name in MODELS, f"one of {tuple(MODELS)}")
    arrays = weights if isinstance(weights, Mapping) else read_state_dict(weights)
    return MODELS[name](arrays)
