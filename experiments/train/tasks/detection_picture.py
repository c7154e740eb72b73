"""Detections of every method on the same image, the paper's Figure 5."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jgc.detection import Detector, Examples, draw_grid
from jgc.detection._drawing import Panel, detection_panels, truth_panels
from jgc.training._loss import Params

_NUM_IMAGES = 3
_SCORE_THRESHOLD = 0.3


def draw_comparison(
    trained: Sequence[tuple[str, Params]],
    detector: Detector,
    examples: Examples,
    class_names: Sequence[str],
    path: Path,
) -> None:
    """Writes a picture: a row an image, a column a method.

    The images are those with the most objects; the first column is the ground truth.

    Args:
        trained: title and parameters of each method.
        detector: what the parameters are of.
        examples: to choose the images from.
        class_names: the name of each label.
        path: of the picture.
    """
    chosen = np.argsort(-np.asarray(examples.valid).sum(1), kind="stable")[:_NUM_IMAGES]
    chosen_examples = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], examples)
    images = chosen_examples.image
    columns: list[list[Panel]] = [
        truth_panels(images, chosen_examples, titles=["ground truth"] * len(chosen))
    ]
    detect = jax.jit(detector.detect)
    for title, params in trained:
        panels = detection_panels(
            images,
            detect(params, images),
            score_threshold=_SCORE_THRESHOLD,
            titles=[title] * len(chosen),
        )
        columns.append(panels)
    draw_grid(
        path,
        [panel for row in zip(*columns, strict=True) for panel in row],
        class_names=class_names,
        columns=len(columns),
    )
