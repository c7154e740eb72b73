"""The arrays that data, models, losses and evaluation pass to one another."""

from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int, UInt8


class Examples(NamedTuple):
    """N images of one size with padded ground truth: M object slots an image.

    Images are stretched to a square, so boxes are relative to the image:
    (ymin, xmin, ymax, xmax), each in [0, 1], whatever the original size.

    Attributes:
        image: pixels, 0 to 255.
        boxes: object boxes; padding is zeros.
        labels: classes, 0 to num_classes − 1; padding is 0.
        valid: the slot holds an object to learn.
        crowd: the slot holds a crowd box: not to be learned, and no anchor that
            lies in it is taught to be background.
    """

    image: UInt8[Array, "N S S 3"]
    boxes: Float[Array, "N M 4"]
    labels: Int[Array, "N M"]
    valid: Bool[Array, "N M"]
    crowd: Bool[Array, "N M"]


class Detections(NamedTuple):
    """Up to K detections an image, highest score first; shapes are static.

    Attributes:
        boxes: (ymin, xmin, ymax, xmax), each in [0, 1].
        scores: in [0, 1].
        labels: classes, 0 to num_classes − 1.
        valid: the slot holds a detection.
    """

    boxes: Float[Array, "N K 4"]
    scores: Float[Array, "N K"]
    labels: Int[Array, "N K"]
    valid: Bool[Array, "N K"]


class Predictions(NamedTuple):
    """What a detector's network says about each of A anchors of N images.

    Attributes:
        logits: one for each of C classes; there is no background class.
        offsets: from the anchor to the object's box, as `jgc.detection._boxes.encode`
            gives them.
    """

    logits: Float[Array, "N A C"]
    offsets: Float[Array, "N A 4"]
