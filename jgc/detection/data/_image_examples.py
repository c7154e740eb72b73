"""Records as padded examples, and a split as a source of them, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from jgc.detection._types import Examples
from jgc.detection.data._images import DECODE_ERRORS, decode_image, resize_to_square
from jgc.detection.data._record import Record
from jgc.detection.data._source import DetectionSource


class LoadedImage(NamedTuple):
    """An example without its image, whose size in pixels it keeps."""

    record: Record
    width: int
    height: int


def load_image(
    source: DetectionSource, index: int, size: int
) -> tuple[LoadedImage, UInt8[np.ndarray, "S S 3"]]:
    """Reads an example, decodes its image and stretches it to size × size pixels.

    Raises:
        ValueError: the image can't be decoded.
    """
    record = source.record(index)
    try:
        image = decode_image(record.encoded)
    except DECODE_ERRORS as error:  # a data set that our builder hasn't verified
        raise ValueError(
            f"image {record.file_name!r} (id {record.image_id}) in {source.directory} "
            f"can't be decoded: {error}"
        ) from error
    loaded = LoadedImage(record._replace(encoded=b""), image.width, image.height)
    return loaded, resize_to_square(image, size=size)


def pad(
    images: UInt8[np.ndarray, "N S S 3"], records: Sequence[Record], slots: int
) -> Examples:
    """The examples of images and their records, the objects in `slots` slots.

    Where a record has more, those of largest area stay, in their order.
    """
    shape = len(records), slots
    arrays: dict[str, Any] = {  # NumPy's where the type has JAX's: still on the host
        "image": images,
        "boxes": np.zeros((*shape, 4), np.float32),
        "labels": np.zeros(shape, np.int32),
        "valid": np.zeros(shape, np.bool_),
        "crowd": np.zeros(shape, np.bool_),
    }
    for row, record in enumerate(records):
        kept = np.sort(np.argsort(-record.area, kind="stable")[:slots])
        used = slice(len(kept))
        arrays["boxes"][row, used] = record.bbox[kept]
        arrays["labels"][row, used] = record.label[kept]
        arrays["valid"][row, used] = ~record.is_crowd[kept]
        arrays["crowd"][row, used] = record.is_crowd[kept]
    return Examples(**arrays)


@dataclass(frozen=True)
class ImageExamples:
    """The first N images of a split by id, a source for `jgc.training.partitioned`.

    Get one from `image_examples`. It pickles as the path of the data set.

    Attributes:
        source: the split.
        size: S, the side in pixels to which images are stretched.
        slots: M, for an image's objects.
        count: N.
    """

    source: DetectionSource
    size: int
    slots: int
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Examples:
        """One example: `Examples` without the axis over images, on the host.

        Raises:
            IndexError: index is not in [−N, N).
            ValueError: the image can't be decoded.
        """
        loaded, image = load_image(self.source, range(self.count)[index], self.size)
        padded = pad(image[None], [loaded.record], self.slots)
        return Examples(*(leaf[0] for leaf in padded))


def image_examples(
    source: DetectionSource,
    *,
    size: int,
    max_objects: int | None = None,
    limit: int | None = None,
) -> ImageExamples:
    """A split read image by image, for data that memory does not hold.

    Args:
        source: the split.
        size: S, the side in pixels to which images are stretched.
        max_objects: most slots of an image; None: the most objects that an image of
            the split has, which are never exceeded. An image with more objects keeps
            those of largest area.
        limit: the first N by image id; None: all.

    Raises:
        ValueError: a number is below 1.
    """
    check_numbers(size=size, max_objects=max_objects, limit=limit)
    most = max(source.most_objects, 1)
    return ImageExamples(
        source=source,
        size=size,
        slots=most if max_objects is None else min(max_objects, most),
        count=len(source) if limit is None else min(limit, len(source)),
    )


def check_numbers(**numbers: int | None) -> None:
    """Refuses numbers below 1.

    Raises:
        ValueError: names the argument and its value.
    """
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} must be at least 1")
