"""Checking the folders that a user names."""

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
