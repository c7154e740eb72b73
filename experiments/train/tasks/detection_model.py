"""The detector that `config.model` describes."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jgc.detection import Detector, Examples, Matching, detector

# Keys of config.model that one detector has and the others don't.
OWN_KEYS: dict[str, tuple[str, ...]] = {
    "ssdlite": ("min_scale", "max_scale", "reduced_tail"),
    "retinanet": ("depth", "base_size", "head_norm"),
}
# Keys of which an empty tuple stands for the detector's default.
_TUPLES = ("strides", "scales", "aspect_ratios")


def make_detector(model: Any, *, num_classes: int) -> Detector:
    """The detector of `config.model`.

    Raises:
        ValueError: an option is out of its range.
    """
    own = {key: model[key] for key in OWN_KEYS[model.name]}
    chosen = {key: tuple(model[key]) for key in _TUPLES if model[key]}
    return detector(
        model.name,
        num_classes=num_classes,
        image_size=model.image_size,
        width=model.width,
        residual_scale=model.residual_scale,
        dtype=jnp.dtype(model.compute_dtype),
        matching=Matching(
            positive_iou=model.positive_iou, negative_iou=model.negative_iou
        ),
        box_weight=model.box_weight,
        **own,
        **chosen,
    )


def with_mean_divisor(detector: Detector, batches: list[Examples]) -> Detector:
    """The detector whose losses are divided by the mean number of positives.

    The mean loss over the images is then what all of them in one batch would have.
    """
    count = jax.jit(detector.positives)
    mean = float(jnp.concatenate([count(batch) for batch in batches]).mean())
    return dataclasses.replace(detector, divisor=max(mean, 1.0))
