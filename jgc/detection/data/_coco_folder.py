"""A TFDS builder for a folder in COCO's own layout, with coco/2017's features."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jgc._cache import user_cache
from jgc.detection.data._annotations import Annotations, read_annotations
from jgc.detection.data._coco_layout import (
    COCO_2017_SPLITS,
    CocoSplit,
    check_layout,
    fingerprint,
)
from jgc.detection.data._example_maker import ExampleMaker
from jgc.detection.data._paths import existing_directory
from jgc.detection.data._quiet import quiet_tfds
from jgc.detection.data._report import SplitReport
from jgc.detection.data._threads import read_in_threads

_LOG = logging.getLogger(__name__)


def prepare_coco_folder(
    directory: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] | None = None,
    splits: Mapping[str, CocoSplit] = COCO_2017_SPLITS,
    num_threads: int | None = None,
) -> Path:
    """Prepares a folder in COCO's layout for random access; does nothing if done.

    Image files are stored as they are, in the order of their ids. What can't be
    used is skipped, counted by reason, warned of and saved with the data; images
    without annotations stay, as negatives. The prepared directory's name contains
    a fingerprint of the folder's path, its annotation files' content and its image
    files' names and sizes: when any of them changes, a new directory is prepared.

    Args:
        directory: the COCO folder.
        cache_dir: where prepared data goes; None: `data` in $JGC_CACHE, or else in the
            user's cache directory.
        splits: TFDS's split names → where each lies in `directory`.
        num_threads: threads that decode images to verify them; None: one a core.

    Returns:
        The prepared directory, readable by `tfds.builder_from_directory`.

    Raises:
        FileNotFoundError: the folder, an image folder or an annotation file is
            missing.
        ValueError: an argument or an annotation file is malformed, splits disagree
            about the categories, or a split has no usable image.
    """
    if num_threads is not None and num_threads < 1:
        raise ValueError(f"num_threads={num_threads} must be at least 1")
    root = check_layout(directory, splits)
    data_dir = user_cache() / "data" if cache_dir is None else Path(cache_dir)
    data_dir = data_dir.expanduser().absolute()
    if data_dir.exists():
        existing_directory("cache_dir", data_dir)
    builder = CocoFolder(
        directory=root,
        splits=splits,
        num_threads=num_threads,
        data_dir=os.fspath(data_dir),
    )
    prepared = Path(builder.data_dir)
    if not prepared.exists():
        try:
            with quiet_tfds():
                builder.download_and_prepare(file_format="array_record")
        except OSError:
            if not (prepared / "dataset_info.json").exists():
                raise
            _LOG.info("another process has prepared %s meanwhile", prepared)
        else:
            for split, report in builder.reports.items():
                for warning in report.warnings():
                    _LOG.warning("%s of %s: %s", split, root, warning)
    return prepared


class CocoFolder(  # type: ignore[call-arg]  # TFDS is untyped, its keywords too
    tfds.core.GeneratorBasedBuilder, skip_registration=True
):
    """Builds `prepare_coco_folder`'s data set; call that function instead."""

    VERSION = tfds.core.Version("2.0.0")
    # TFDS would look beside this file for checksums of downloads; there are none,
    # and looking takes importlib_resources, which TFDS doesn't install.
    code_path = None

    def __init__(
        self,
        *,
        directory: Path,
        splits: Mapping[str, CocoSplit],
        num_threads: int | None,
        data_dir: str,
    ) -> None:
        self._directory = directory
        self._splits = splits
        self._num_threads = num_threads
        self.reports: dict[str, SplitReport] = {}  # of the splits prepared here
        name = re.sub(r"[^A-Za-z0-9-]+", "-", directory.name)
        with quiet_tfds():  # it warns that the config is not one of its own
            config = tfds.core.BuilderConfig(
                name=f"{name}-{fingerprint(directory, splits)}",
                description=f"COCO folder {directory}",
            )
            super().__init__(data_dir=data_dir, config=config)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images and boxes from a folder in COCO's own layout.",
            features=coco_features(),
            disable_shuffling=True,  # keeps the order of image ids
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # the images are here already
        read = {
            name: read_annotations(self._directory / split.annotations)
            for name, split in self._splits.items()
        }
        first, *others = read
        categories = read[first].categories
        for other in others:
            if read[other].categories != categories:
                raise ValueError(
                    f"splits {first!r} and {other!r} of {self._directory} must list "
                    "the same categories; they differ in "
                    f"{_difference(read[first], read[other])}"
                )
        self.info.features["objects"]["label"].names = list(categories.names)
        self.info.metadata.update(
            source=os.fspath(self._directory),
            category_ids=list(categories.ids),
            ordered_by_image_id=True,
            reports={},
        )
        return {
            name: self._generate_examples(name, annotations)
            for name, annotations in read.items()
        }

    def _generate_examples(
        self, split: str, annotations: Annotations
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        folder = self._directory / self._splits[split].images
        report = SplitReport()
        for image_id, count in annotations.without_image.items():
            report.note("annotation_without_image", f"image id {image_id}", count=count)
        maker = ExampleMaker(folder, self._directory, annotations.categories, report)
        for listed, encoded in read_in_threads(
            maker.read, annotations, num_threads=self._num_threads
        ):
            example = maker.make(listed, encoded)
            if example is not None:
                yield listed.id, example
        if report.images == 0:
            raise ValueError(
                f"split {split!r} of {self._directory} has no usable image: "
                + "; ".join(report.warnings())
            )
        self.reports[split] = report
        self.info.metadata["reports"][split] = report.to_json()


def coco_features() -> tfds.features.FeaturesDict:
    """Returns the features of coco/2017, with the classes' names still to be set."""
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "image/filename": tfds.features.Text(),
            "image/id": np.int64,
            "objects": tfds.features.Sequence(
                {
                    "area": np.int64,
                    "bbox": tfds.features.BBoxFeature(),
                    "id": np.int64,
                    "is_crowd": np.bool_,
                    "label": tfds.features.ClassLabel(),
                }
            ),
        }
    )


def _difference(one: Annotations, other: Annotations) -> list[tuple[int, str]]:
    pairs = [
        set(zip(read.categories.ids, read.categories.names, strict=True))
        for read in (one, other)
    ]
    return sorted(pairs[0] ^ pairs[1])
