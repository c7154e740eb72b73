"""Detections of every method on the same image, the paper's Figure 5."""

from pathlib import Path

import jax
import numpy as np
import optax

from experiments.detection import DetectionTask
from experiments.runs import Run, Task, restore_params, run_directory
from jgc.detection import draw_grid
from jgc.detection.drawing import Panel, detection_panels, truth_panels

_NUM_IMAGES = 3
_SCORE_THRESHOLD = 0.3


def draw_comparison(
    runs: list[Run],
    detection: DetectionTask,
    task: Task,
    optimizer: optax.GradientTransformation,
    workdir: Path,
) -> None:
    """Writes `detections.png`: a row an image, a column a method of the first seed.

    The images are the validation images with the most objects; the first column is
    the ground truth.
    """
    examples = detection.validation.examples
    chosen = np.argsort(-np.asarray(examples.valid).sum(1), kind="stable")[:_NUM_IMAGES]
    chosen_examples = jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], examples)
    images = chosen_examples.image
    columns: list[list[Panel]] = [
        truth_panels(images, chosen_examples, titles=["ground truth"] * len(chosen))
    ]
    detect = jax.jit(detection.detector.detect)
    for run in runs:
        if run.seed == 0:
            params = restore_params(run, task, optimizer, run_directory(workdir, run))
            panels = detection_panels(
                images,
                detect(params, images),
                score_threshold=_SCORE_THRESHOLD,
                titles=[run.title] * len(chosen),
            )
            columns.append(panels)
    draw_grid(
        workdir / "detections.png",
        [panel for row in zip(*columns, strict=True) for panel in row],
        class_names=detection.class_names,
        columns=len(columns),
    )
