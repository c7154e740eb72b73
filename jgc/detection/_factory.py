"""Detectors by name."""

from collections.abc import Callable
from typing import Any

from jgc.detection._checks import check
from jgc.detection._detector import Detector
from jgc.detection._retinanet import retinanet
from jgc.detection._ssdlite import ssdlite

#: By the name that `detector` takes.
DETECTORS: dict[str, Callable[..., Detector]] = {
    "retinanet": retinanet,
    "ssdlite": ssdlite,
}
"""The function that makes each."""


def detector(name: str, **options: Any) -> Detector:
    """The detector of a name: `DETECTORS[name](**options)`.

    Args:
        name: "retinanet" or "ssdlite".
        **options: see `retinanet` and `ssdlite`; both take `num_classes`,
            `image_size`, `width`, `strides`, `scales`, `aspect_ratios`, `norm`,
            `dtype` and the fields of `Detector`.

    Raises:
        ValueError: there is no such detector, or an option is out of its range.

    >>> detector("ssdlite", num_classes=3, image_size=32, width=0.1).num_classes
    3
    """
    check("name", name, name in DETECTORS, f"one of {tuple(DETECTORS)}")
    return DETECTORS[name](**options)
