"""Checking the folders that a user names, and finding what they hold."""

import os
from pathlib import Path


def existing_directory(argument: str, value: str | os.PathLike[str]) -> Path:
    """Returns the folder `value` as an absolute path, links resolved.

    Args:
        argument: the name under which the user gave it, for errors.
        value: a path; ~ is expanded.

    Raises:
        FileNotFoundError: it doesn't exist.
        ValueError: it is a file.
    """
    path = Path(value).expanduser().resolve()
    if not path.exists():
        raise FileNotFoundError(f"{argument}={os.fspath(value)!r} does not exist")
    if not path.is_dir():
        raise ValueError(
            f"{argument}={os.fspath(value)!r} must be a directory; it is a file"
        )
    return path


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
