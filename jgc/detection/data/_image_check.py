"""Whether the image file that an annotation file names may be read, and can be."""

import errno
import stat
from pathlib import Path, PurePath

from jgc.detection.data._annotations import ListedImage
from jgc.detection.data._images import DECODE_ERRORS, decode_image

# What is wrong with one file or its name alone; others, such as too many open files,
# would make every image look broken.
_OF_ONE_FILE = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EIO}


class ImageCheck:
    """Reads and decodes each image file once; safe to call from many threads.

    Args:
        folder: of the image files.
        root: the data folder; no file outside of it and of `folder` is read.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self._folder = folder
        self._accepted = (folder.resolve(), root.resolve())

    def reason(self, listed: ListedImage) -> str:
        """A key of `REASONS` for which the image is skipped, "" where it is kept."""
        encoded = self._bytes(listed.file_name)
        if isinstance(encoded, str):
            return encoded
        try:
            size = decode_image(encoded).size
        except DECODE_ERRORS:
            return "corrupt_image"
        return "" if size == (listed.width, listed.height) else "size_mismatch"

    def _bytes(self, file_name: str) -> bytes | str:
        """The file's content, or the reason why it is not to be had."""
        name = PurePath(file_name)
        if name.is_absolute() or ".." in name.parts:
            return "outside_folder"
        try:
            path = (self._folder / name).resolve()
            if not any(path.is_relative_to(folder) for folder in self._accepted):
                return "outside_folder"  # through a link
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe would never end
                return "missing_image"
            return path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return "missing_image"
        except (ValueError, RuntimeError):  # NUL, half a character; links in a circle
            return "unreadable_image"
        except OSError as error:
            if error.errno not in _OF_ONE_FILE:
                raise
            return "unreadable_image"
