"""Detections of every method on the same image, the paper's Figure 5."""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from experiments.train.tasks.detection_counts import SCORE_THRESHOLD, Counts, count
from jgc.detection import Detector, Examples, draw_grid
from jgc.detection._drawing import Panel, detection_panels, truth_panels
from jgc.training._loss import Params

_NUM_IMAGES = 4


def draw_comparison(
    trained: Sequence[tuple[str, Params]],
    detector: Detector,
    examples: Examples,
    class_names: Sequence[str],
    path: Path,
) -> None:
    """Writes a picture: a row an image, a column a method.

    The images are those with the most objects; the first column is the ground truth.
    Above each panel is what the method found.

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
        detections = detect(params, images)
        panels = detection_panels(
            images,
            detections,
            score_threshold=SCORE_THRESHOLD,
            titles=_titles(title, count(detections, chosen_examples)),
        )
        columns.append(panels)
    draw_grid(
        path,
        [panel for row in zip(*columns, strict=True) for panel in row],
        class_names=class_names,
        columns=len(columns),
    )


def _titles(title: str, counts: Counts) -> list[str]:
    texts = []
    for objects, found, doubled, mistaken in zip(*counts, strict=True):
        text = f"{title}\n{found} of {objects} found"
        text += f", {doubled} doubled" if doubled else ""
        text += f", {mistaken} wrong" if mistaken else ""
        texts.append(text)
    return texts
