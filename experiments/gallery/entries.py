"""What the gallery shows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """An experiment of the gallery.

    Attributes:
        name: its folder in `docs/results/`.
        title: of its section.
        module: of `experiments`.
        config: the file, from the root.
        shows: what is to be seen, file by file: the name in its working directory and
            a sentence. These files are copied.
        overrides: flags of the config.
        reduced: what was left out of the whole, or nothing.
    """

    name: str
    title: str
    module: str
    config: str
    shows: dict[str, str]
    overrides: tuple[str, ...] = ()
    reduced: str = ""

    @property
    def arguments(self) -> list[str]:
        """Of Python, except for the working directory."""
        module = f"experiments.{self.module}"
        return ["-m", module, f"--config={self.config}", *self.overrides]


ENTRIES = (
    Entry(
        "residual_error",
        "Residual error of every code, k = 10",
        "residual_error",
        "configs/residual_error/table.py",
        {
            "residual_error.png": "Residual error against load, every code and decoder",
            "table.md": "The same in numbers, by three methods that should agree.",
        },
        ("--config.num_workers=(10,)",),
        "k = 10 alone, of 10 and 100",
    ),
    Entry(
        "convergence",
        "Convergence theorems against runs",
        "convergence",
        "configs/convergence/theorems.py",
        {
            "convergence-deadline1.1.png": "Measured and bound, deadline τ = 1.1",
            "convergence-deadline1.5.png": "Measured and bound, deadline τ = 1.5",
            "convergence.md": "The last iteration in numbers, and the largest ratio.",
        },
    ),
    Entry(
        "decoding",
        "Decoders compared",
        "decoding",
        "configs/decoding/comparison.py",
        {
            "errors.png": "Residual error against load by law of p (rows) and "
            "similarity ρ (columns), every code and decoder",
            "training.png": "How far training ends from the least loss, each decoder "
            "at its own best step; the number after a problem is its diversity",
            "training.md": "The second picture in numbers.",
        },
    ),
    Entry(
        "shapes",
        "The main job: a detector trained under six schemes",
        "train",
        "configs/train/shapes.py",
        {
            "validation.png": "Validation loss against iterations and against work",
            "convergence.png": "Training loss against iterations and against work",
            "detections.png": "Detections on validation images, a scheme a column",
            "table.md": "Losses, average precision, load and residual error.",
            "findings.md": "The same in sentences.",
        },
        reduced="drawn shapes and a narrow detector in place of COCO, two seeds",
    ),
    Entry(
        "codecs",
        "Messages in fewer bits",
        "train",
        "configs/train/codecs.py",
        {
            "tuned.png": "Validation loss of each codec at its best learning rate, "
            "against iterations, work and traffic",
            "tuned.md": "Its end in numbers.",
            "findings.md": "At one learning rate for all, in sentences.",
        },
    ),
)
"""In the order of the page."""
