"""Finding a data set that TFDS has prepared, and checking that we can read it."""

import os
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


def find_prepared(root: Path) -> Path:
    """Returns the prepared data set in `root` or up to two levels below it.

    Args:
        root: an existing folder; a data set's holds dataset_info.json and
            features.json.

    Raises:
        ValueError: `root` holds no prepared data set, or several.
    """
    for pattern in ("", "*/", "*/*/"):
        found = sorted(path.parent for path in root.glob(pattern + "dataset_info.json"))
        found = [path for path in found if (path / "features.json").exists()]
        if len(found) > 1:
            raise ValueError(
                f"directory={os.fspath(root)!r} must hold one prepared data set; "
                f"choose one of {[os.fspath(path) for path in found]}"
            )
        if found:
            return found[0]
    raise ValueError(
        f"directory={os.fspath(root)!r} must be a data set that TFDS has prepared "
        "(dataset_info.json and features.json in it) or a folder in COCO's layout "
        "(train2017/, val2017/ and annotations/ in it, or what the argument splits "
        f"names); it holds {sorted(path.name for path in root.iterdir())[:10]}"
    )


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
