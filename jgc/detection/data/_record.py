"""One example as it is stored, whatever stores it."""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int64


class Record(NamedTuple):
    """One example as it is stored; O objects, crowds included.

    Attributes:
        encoded: the image file.
        file_name: its name.
        image_id: its id.
        bbox: ymin, xmin, ymax, xmax relative to the image, in [0, 1].
        label: classes, 0 to C − 1.
        area: pixels² of the original image.
        annotation_id: the annotations' ids.
        is_crowd: the box is drawn around a crowd.
    """

    encoded: bytes
    file_name: str
    image_id: int
    bbox: Float32[np.ndarray, "O 4"]
    label: Int64[np.ndarray, " O"]
    area: Int64[np.ndarray, " O"]
    annotation_id: Int64[np.ndarray, " O"]
    is_crowd: Bool[np.ndarray, " O"]


@runtime_checkable
class Records(Protocol):
    """The records of a split by image id; any thread may read."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int, /) -> Record:
        """Record `index`, 0 to the length − 1."""
        ...

    @property
    def most_objects(self) -> int:
        """The most objects, crowds included, of one record."""
        ...
