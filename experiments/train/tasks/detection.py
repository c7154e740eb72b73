"""The detection task of a config: data, detector, validation loss and COCO's scores."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from experiments.train.tasks.augmentation import augmented
from experiments.train.tasks.detection_counts import count, shares
from experiments.train.tasks.detection_model import make_detector, with_mean_divisor
from experiments.train.tasks.detection_picture import draw_comparison
from experiments.train.tasks.task import Task
from jgc._cache import user_cache
from jgc.detection import CocoScores, Detections, Detector, Examples, evaluate
from jgc.detection.data import (
    DetectionSource,
    ImageExamples,
    LoadedSplit,
    assign_partitions,
    generate_shapes,
    image_examples,
    load_split,
    open_source,
)
from jgc.training import arrays
from jgc.training._loss import Params

_LOG = logging.getLogger(__name__)
_IMAGES_AT_ONCE = 32  # in evaluation


class DetectionTask(NamedTuple):
    """A detector, and the images that it is trained and validated on.

    Attributes:
        detector: its pure functions.
        train: the images to train on; if they are streamed, those of them to score.
        stream: the training images, read when they are needed, where memory does not
            hold them; else None.
        num_train: N, the images to train on.
        validation: the images to validate and score on.
        class_names: the name of each label.
        category_ids: COCO's category id of each label.
        scorer: of `jgc.detection.evaluate`.
        augmentation: of the images that are trained on, of `config.data`.
    """

    detector: Detector
    train: LoadedSplit
    stream: ImageExamples | None
    num_train: int
    validation: LoadedSplit
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    scorer: str
    augmentation: str

    def task(self, *, num_partitions: int) -> Task:
        """What the runs of an experiment share, the training data on the host."""
        loss = jax.jit(self.detector.loss)
        detect = jax.jit(self.detector.detect)

        def validation_loss(params: Params) -> Float[Array, ""]:
            batches = _batches(self.validation.examples)
            return jnp.concatenate([loss(params, batch) for batch in batches]).mean()

        def detections(params: Params, examples: Examples) -> Detections:
            parts = [detect(params, batch.image) for batch in _batches(examples)]
            return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)

        def scores(found: Detections, split: LoadedSplit) -> CocoScores:
            return evaluate(
                found,
                split.image_ids[: len(found.valid)].tolist(),
                split.ground_truth,
                category_ids=self.category_ids,
                scorer=self.scorer,
            )

        def score(params: Params) -> dict[str, Any]:
            # As many training images as validation images tell what was learned by
            # heart, at no more than the same cost again.
            limit = len(self.validation.image_ids)
            seen = detections(params, self.validation.examples)
            first = jax.tree.map(lambda leaf: leaf[:limit], self.train.examples)
            return {
                **scores(seen, self.validation)._asdict(),
                "train_ap": scores(detections(params, first), self.train).ap,
                **shares(count(seen, self.validation.examples)),
            }

        def draw(trained: Sequence[tuple[str, Params]], workdir: Path) -> None:
            draw_comparison(
                trained,
                self.detector,
                self.validation.examples,
                self.class_names,
                workdir / "detections.png",
            )

        return Task(
            loss=augmented(self.detector.loss, self.augmentation),
            init=jax.jit(self.detector.init),
            source=self.stream or arrays(self.train.examples),
            assignment=assign_partitions(self.num_train, num_partitions=num_partitions),
            validation_loss=validation_loss,
            score=score,
            draw=draw,
        )


def load_detection_task(config: Any) -> DetectionTask:
    """Generates or prepares the data that `config` names and loads it.

    Raises:
        FileNotFoundError: `config.data.directory` or a part of it does not exist.
        ValueError: what is there is not a detection data set, or a setting does not
            fit it.
    """
    cache = Path(config.data.cache_directory or user_cache())
    if config.data.directory:
        directory = Path(config.data.directory)
    else:
        shapes = config.data.shapes
        _LOG.info("Drawing the shapes data set")
        directory = generate_shapes(
            cache_dir=cache / "shapes",
            num_train=shapes.num_train,
            num_val=shapes.num_validation,
            image_size=shapes.image_size,
            max_objects=shapes.max_objects,
            min_diameter=shapes.min_diameter,
            max_diameter=shapes.max_diameter,
            hue_range=shapes.hue_range,
            seed=shapes.seed,
        )
    source = open_source(directory, split="train", cache_dir=cache / "data")
    num_train = min(config.data.num_train or len(source), len(source))
    stream = None
    if not config.data.in_memory:
        stream = image_examples(
            source,
            size=config.model.image_size,
            max_objects=config.data.max_objects,
            limit=num_train,
        )
    if config.data.validate_on_train:
        train = validation = _load(source, config, limit=num_train)
    else:
        validation = _load(
            open_source(directory, split="validation", cache_dir=cache / "data"),
            config,
            limit=config.data.num_validation,
        )
        # Of images that are streamed, as many are scored as there are to validate on.
        scored = num_train if stream is None else len(validation.image_ids)
        train = _load(source, config, limit=min(num_train, scored))
    detector = make_detector(config.model, num_classes=len(source.class_names))
    if config.model.divisor == "split":
        detector = with_mean_divisor(detector, _batches(train.examples))
        _LOG.info("An image has %.1f positive anchors in the mean", detector.divisor)
    return DetectionTask(
        detector=detector,
        train=train,
        stream=stream,
        num_train=num_train,
        validation=validation,
        class_names=source.class_names,
        category_ids=source.category_ids,
        scorer=config.data.scorer,
        augmentation=config.data.augmentation,
    )


def _load(source: DetectionSource, config: Any, *, limit: int) -> LoadedSplit:
    loaded = load_split(
        source,
        size=config.model.image_size,
        max_objects=config.data.max_objects,
        limit=limit or None,
    )
    _LOG.info(
        "%s: %d images, %d annotations",
        source.split,
        len(loaded.image_ids),
        len(loaded.ground_truth["annotations"]),
    )
    if loaded.dropped_objects:
        _LOG.warning(
            "%d annotations of %d images exceed config.data.max_objects = %d and are "
            "not trained on",
            loaded.dropped_objects,
            loaded.crowded_images,
            config.data.max_objects,
        )
    return loaded


def _batches(examples: Examples) -> list[Examples]:
    """Equal batches, but for the last: two shapes to compile."""
    size = examples.image.shape[0]
    return [
        jax.tree.map(lambda leaf, s=start: leaf[s : s + _IMAGES_AT_ONCE], examples)
        for start in range(0, size, _IMAGES_AT_ONCE)
    ]
