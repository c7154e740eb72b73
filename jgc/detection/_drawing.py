"""Pictures of detections: a grid of images with boxes, class names and scores."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jgc._extras import require
from jgc._files import write_atomically
from jgc.detection._types import Detections, Examples

_PANEL_INCHES = 3.2
_DPI = 120


class Panel(NamedTuple):
    """One image of a grid and the boxes on it.

    Attributes:
        image: pixels, 0 to 255, of any height and width.
        boxes: (ymin, xmin, ymax, xmax), each in [0, 1].
        labels: indices into the class names.
        scores: in [0, 1]; None for ground truth.
        title: above the image.
    """

    image: UInt8[np.ndarray, "H W 3"]
    boxes: Float[np.ndarray, "B 4"]
    labels: Int[np.ndarray, " B"]
    scores: Float[np.ndarray, " B"] | None = None
    title: str = ""


def detection_panels(
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
    detections: Detections,
    *,
    score_threshold: float = 0.3,
    titles: Sequence[str] | None = None,
) -> list[Panel]:
    """A panel an image with its detections of at least `score_threshold`.

    Raises:
        ValueError: there is not one image, or not one title, for each of the
            detections' images.
    """
    boxes, scores, labels, valid = (np.asarray(field) for field in detections)
    titles = [""] * len(boxes) if titles is None else titles
    _check_length("images", images, len(boxes))
    _check_length("titles", titles, len(boxes))
    shown = valid & (scores >= score_threshold)
    return [
        Panel(np.asarray(images[n]), boxes[n][s], labels[n][s], scores[n][s], titles[n])
        for n, s in enumerate(shown)
    ]


def truth_panels(
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
    examples: Examples,
    *,
    titles: Sequence[str] | None = None,
) -> list[Panel]:
    """A panel an image with its objects and crowds.

    `images` may be the originals, of other sizes than `examples.image`.

    Raises:
        ValueError: there is not one image, or not one title, for each example.
    """
    boxes, labels = np.asarray(examples.boxes), np.asarray(examples.labels)
    shown = np.asarray(examples.valid) | np.asarray(examples.crowd)
    titles = [""] * len(boxes) if titles is None else titles
    _check_length("images", images, len(boxes))
    _check_length("titles", titles, len(boxes))
    return [
        Panel(np.asarray(images[n]), boxes[n][s], labels[n][s], None, titles[n])
        for n, s in enumerate(shown)
    ]


def draw_detections(
    path: str | os.PathLike[str],
    images: Sequence[UInt8[np.ndarray, "H W 3"]],
    detections: Detections,
    *,
    class_names: Sequence[str],
    examples: Examples | None = None,
    score_threshold: float = 0.3,
    columns: int = 2,
) -> None:
    """Write a PNG of each image's detections, its ground truth to the right if given.

    Args:
        path: of the PNG; its folder is made, and it appears only when complete.
        images: one for each of the detections' images, of any sizes.
        detections: NumPy arrays or JAX arrays.
        class_names: the name of each label.
        examples: the images' ground truth.
        score_threshold: detections below it are not drawn, in [0, 1].
        columns: images side by side, at least 1; ground truth doubles the panels.

    Raises:
        ValueError: a length or an option does not fit; see above.
        ImportError: matplotlib is not installed.
    """
    panels = detection_panels(images, detections, score_threshold=score_threshold)
    if examples is not None:
        found = [panel._replace(title="detections") for panel in panels]
        titles = ["ground truth"] * len(panels)
        truth = truth_panels(images, examples, titles=titles)
        panels = [p for pair in zip(found, truth, strict=True) for p in pair]
        columns *= 2
    draw_grid(path, panels, class_names=class_names, columns=columns)


def draw_grid(
    path: str | os.PathLike[str],
    panels: Sequence[Panel],
    *,
    class_names: Sequence[str],
    columns: int = 4,
) -> None:
    """Write panels, row by row, to a PNG.

    Args:
        path: of the PNG; its folder is made, and it appears only when complete.
        panels: at least one.
        class_names: the name of each label.
        columns: panels in a row, at least 1.

    Raises:
        ValueError: there is no panel, `columns` is below 1, or a label has no name.
        ImportError: matplotlib is not installed.
    """
    if not panels:
        raise ValueError("panels is empty; give at least one")
    if columns < 1:
        raise ValueError(f"columns is {columns}; accepted: at least 1")
    highest = max((int(p.labels.max()) for p in panels if len(p.labels)), default=-1)
    if highest >= len(class_names):
        raise ValueError(
            f"panels has label {highest}; class_names has names for labels 0 to "
            f"{len(class_names) - 1}"
        )

    # A Figure of its own, not pyplot's: no global state, no display, no leak.
    figure_module = require("matplotlib.figure", extra="plots")
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    aspect = float(np.median([p.image.shape[0] / p.image.shape[1] for p in panels]))
    figure = figure_module.Figure(
        figsize=(columns * _PANEL_INCHES, rows * (_PANEL_INCHES * aspect + 0.25)),
        layout="constrained",
    )
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel, class_names)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DPI)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, picture.getvalue())


def _draw_panel(axes: Any, panel: Panel, class_names: Sequence[str]) -> None:
    patches = require("matplotlib.patches", extra="plots")
    height, width = panel.image.shape[:2]
    axes.imshow(panel.image, extent=(0, width, height, 0))
    if panel.title:
        axes.set_title(panel.title, fontsize=8, pad=3)
    # The best detections last, on top of the others.
    order = range(len(panel.boxes))
    if panel.scores is not None:
        order = np.argsort(panel.scores, kind="stable").tolist()
    for index in order:
        label = int(panel.labels[index])
        ymin, xmin, ymax, xmax = panel.boxes[index] * (height, width, height, width)
        colour = _colour(label)
        axes.add_patch(
            patches.Rectangle(
                (xmin, ymin), xmax - xmin, ymax - ymin, fill=False, ec=colour, lw=1.3
            )
        )
        text = class_names[label]
        if panel.scores is not None:
            text += f" {panel.scores[index]:.2f}"
        axes.text(
            xmin,
            ymin,
            text,
            fontsize=6,
            color="black",
            # Over the box's corner, but inside the picture at its upper edge.
            va="top" if ymin < 0.06 * height else "bottom",
            clip_on=True,
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8, "alpha": 0.85},
        )


def _colour(label: int) -> tuple[float, float, float]:
    """A bright colour for each label, neighbours far apart: golden-ratio hues."""
    colors = require("matplotlib.colors", extra="plots")
    hue = (label * 0.618034) % 1.0
    red, green, blue = colors.hsv_to_rgb((hue, 0.65, 1.0))
    return float(red), float(green), float(blue)


def _check_length(name: str, values: Sequence[Any], expected: int) -> None:
    if len(values) != expected:
        raise ValueError(f"{name} has {len(values)} entries; give {expected}")
