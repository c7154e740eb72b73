"""A detector as pure functions of its parameters: initialise, loss, detect."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, UInt8

from jgc.detection._anchors import AnchorGrid
from jgc.detection._checks import check
from jgc.detection._losses import Losses, detection_losses
from jgc.detection._matching import match
from jgc.detection._nms import select_detections
from jgc.detection._types import Detections, Examples, Predictions

Params = dict[str, Any]
"""A nested dict of float32 arrays, as flax makes them."""


@dataclass(frozen=True, kw_only=True)
class Detector:
    """An anchor-based detector: a network and how to teach and read it.

    Hashable, so it may be closed over or be a static argument of `jax.jit`. Every
    method is a pure function, works under jit, grad and vmap, and treats each image
    by itself: a batch's losses and detections are those of its images.

    Attributes:
        network: maps float images (N, S, S, 3) to `Predictions` in the order of
            `anchors.boxes()`; nothing in it mixes images.
        anchors: the boxes that predictions are relative to.
        num_classes: C; labels are 0 to C − 1.
        image_size: S, in pixels.
        mean: subtracted from each channel of an image in [0, 1].
        std: divides the result.
        positive_iou: see `jgc.detection._matching.match`.
        negative_iou: see `jgc.detection._matching.match`.
        alpha: weight of positives in the focal loss, in [0, 1].
        gamma: how much the focal loss discounts what is already right, ≥ 0.
        beta: where smooth L1 turns from square to linear, > 0, in offset units.
        box_weight: of the box loss beside the class loss, ≥ 0.
    """

    network: nn.Module
    anchors: AnchorGrid
    num_classes: int
    image_size: int
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    positive_iou: float = 0.5
    negative_iou: float = 0.4
    alpha: float = 0.25
    gamma: float = 2.0
    beta: float = 1.0
    box_weight: float = 1.0

    def __post_init__(self) -> None:
        check("num_classes", self.num_classes, self.num_classes >= 1, "at least 1")
        check(
            "positive_iou and negative_iou",
            (self.positive_iou, self.negative_iou),
            0 < self.negative_iou <= self.positive_iou <= 1,
            "0 < negative_iou <= positive_iou <= 1",
        )
        check("alpha", self.alpha, 0 <= self.alpha <= 1, "in [0, 1]")
        check("gamma", self.gamma, self.gamma >= 0, "at least 0")
        check("beta", self.beta, self.beta > 0, "above 0")
        check("box_weight", self.box_weight, self.box_weight >= 0, "at least 0")

    @cached_property
    def anchor_boxes(self) -> Float[np.ndarray, "A 4"]:
        """All anchors as (ymin, xmin, ymax, xmax), in the order of predictions."""
        return self.anchors.boxes()

    def init(self, key: PRNGKeyArray) -> Params:
        """Fresh float32 parameters: a nested dict of arrays."""
        image = jnp.zeros((1, self.image_size, self.image_size, 3))
        return self.network.init(key, image)["params"]

    def predict(self, params: Params, images: UInt8[Array, "N S S 3"]) -> Predictions:
        """The network's outputs for images of pixels 0 to 255."""
        self._check_images(images)
        scaled = images.astype(jnp.float32) / 255
        scaled = (scaled - jnp.asarray(self.mean)) / jnp.asarray(self.std)
        return cast(Predictions, self.network.apply({"params": params}, scaled))

    def losses(self, params: Params, examples: Examples) -> Losses:
        """Class and box loss of each image, shape (N,) each."""
        logits, offsets = self.predict(params, examples.image)
        anchors = jnp.asarray(self.anchor_boxes)

        def one(logits: Array, offsets: Array, example: Examples) -> Losses:
            matches = match(
                anchors,
                example.boxes,
                example.valid,
                example.crowd,
                positive_iou=self.positive_iou,
                negative_iou=self.negative_iou,
            )
            return detection_losses(
                logits,
                offsets,
                matches,
                anchors,
                example.boxes,
                example.labels,
                alpha=self.alpha,
                gamma=self.gamma,
                beta=self.beta,
                box_weight=self.box_weight,
            )

        return jax.vmap(one)(logits, offsets, examples)

    def loss(self, params: Params, examples: Examples) -> Float[Array, " N"]:
        """Class plus box loss of each image."""
        losses = self.losses(params, examples)
        return losses.classification + losses.box

    def detect(
        self,
        params: Params,
        images: UInt8[Array, "N S S 3"],
        *,
        max_detections: int = 100,
        score_threshold: float = 0.01,
        nms_iou: float = 0.5,
        candidates: int = 300,
    ) -> Detections:
        """What the network sees, best first.

        Args:
            params: as from `init`.
            images: pixels, 0 to 255.
            max_detections: K, slots an image; COCO scores at most 100.
            score_threshold: drop scores at or below it, in [0, 1).
            nms_iou: drop a box that overlaps a better one of its class by more.
            candidates: scores that suppression considers, at least `max_detections`.

        Raises:
            ValueError: an option is out of its range.
        """
        check("max_detections", max_detections, max_detections >= 1, "at least 1")
        check(
            "score_threshold",
            score_threshold,
            0 <= score_threshold < 1,
            "in [0, 1)",
        )
        check("nms_iou", nms_iou, 0 <= nms_iou <= 1, "in [0, 1]")
        check(
            "candidates",
            candidates,
            candidates >= max_detections,
            f"at least max_detections, {max_detections}",
        )
        logits, offsets = self.predict(params, images)
        anchors = jnp.asarray(self.anchor_boxes)

        def one(logits: Array, offsets: Array) -> Detections:
            return select_detections(
                logits,
                offsets,
                anchors,
                max_detections=max_detections,
                score_threshold=score_threshold,
                nms_iou=nms_iou,
                candidates=candidates,
            )

        return jax.vmap(one)(logits, offsets)

    def _check_images(self, images: Array) -> None:
        expected = (self.image_size, self.image_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(
                f"images has shape {images.shape}; this detector takes "
                f"(N, {', '.join(map(str, expected))})"
            )
        if images.dtype != jnp.uint8:
            raise ValueError(f"images has dtype {images.dtype}; give uint8, 0 to 255")


def count_parameters(params: Params) -> int:
    """How many numbers a parameter tree holds."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
