"""Checking that a data set which TFDS has prepared can be read."""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

_REQUIRED = {
    "image": tfds.features.Image,
    "image/filename": tfds.features.Text,
    "image/id": tfds.features.Tensor,
    "objects": tfds.features.Sequence,
}
_REQUIRED_OBJECT = {
    "area": tfds.features.Tensor,
    "bbox": tfds.features.BBoxFeature,
    "id": tfds.features.Tensor,
    "is_crowd": tfds.features.Tensor,
    "label": tfds.features.ClassLabel,
}


def check_readable(builder: Any, prepared: Path) -> None:
    """Checks a prepared data set's file format and features.

    Args:
        builder: from `tfds.builder_from_directory`.
        prepared: its directory, to name in errors.

    Raises:
        ValueError: the format has no random access, or a feature of coco/2017 is
            missing or of another type.
    """
    random_access = tfds.core.FileFormat.with_random_access()
    available = builder.info.available_file_formats()
    if not available & random_access:
        raise ValueError(
            f"{prepared} is stored as {sorted(f.value for f in available)}, without "
            "random access; prepare it with "
            "builder.download_and_prepare(file_format='array_record')"
        )
    features = builder.info.features
    wrong = _mismatches(features, _REQUIRED)
    if not wrong:
        wrong = _mismatches(features["objects"].feature, _REQUIRED_OBJECT)
    if wrong:
        raise ValueError(
            f"{prepared} must have coco/2017's features, but {'; '.join(wrong)}; "
            f"its features are {features}"
        )


def _mismatches(features: Any, required: dict[str, type]) -> list[str]:
    if not hasattr(features, "keys"):
        return [f"{features} is no dictionary with {sorted(required)}"]
    wrong = []
    for name, kind in required.items():
        if name not in features:
            wrong.append(f"{name!r} is missing")
        elif not isinstance(features[name], kind):
            wrong.append(f"{name!r} is not a {kind.__name__}")
    return wrong
