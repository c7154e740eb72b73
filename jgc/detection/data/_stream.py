"""A split that is read image by image, for data that does not fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, tee

import numpy as np
from jaxtyping import Int

from jgc.detection._types import Examples
from jgc.detection.data._arrays import load_image, pad
from jgc.detection.data._pool import default_threads, map_in_order
from jgc.detection.data._source import DetectionSource

_BATCHES_AHEAD = 2


@dataclass(frozen=True, kw_only=True)
class StreamedSplit:
    """Batches of a split by index, decoded by threads ahead of their use.

    Attributes:
        source: the split.
        size: S, the side in pixels to which images are stretched.
        max_objects: M, the slots of an image, at least 1; one with more objects keeps
            the M of largest area.
        num_threads: threads that decode; None: one a core.
    """

    source: DetectionSource
    size: int
    max_objects: int
    num_threads: int | None = None

    def batches(self, indices: Iterator[Int[np.ndarray, " m"]]) -> Iterator[Examples]:
        """Yields the examples of each array of indices, in its order; host arrays.

        Images of the next two batches are decoded while the last one is used. Closing
        the iterator ends the threads.

        Args:
            indices: into the split, by image id; may never end.

        Raises:
            ValueError: an image can't be decoded.
        """
        first = next(indices, None)
        if first is None:
            return
        ahead = _BATCHES_AHEAD * len(first)
        asked, wanted = tee(chain([first], indices))
        loaded = map_in_order(
            lambda index: load_image(self.source, index, self.size),
            (int(index) for batch in asked for index in batch),
            num_threads=self.num_threads or default_threads(),
            ahead=ahead,
        )
        try:
            for batch in wanted:
                pairs = [next(loaded) for _ in batch]
                yield pad(
                    np.stack([image for _, image in pairs]),
                    [one.record for one, _ in pairs],
                    self.max_objects,
                )
        finally:
            loaded.close()
