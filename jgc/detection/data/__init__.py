"""Detection data as fixed-shape arrays, with coco/2017's names in TFDS.

`open_source` opens COCO 2017, a folder in COCO's layout or the embedded shapes;
`load_split` turns a split into arrays, `image_examples` reads it image by image;
`assign_partitions` cuts it into the n partitions that gradient coding assigns to
workers.
"""

from jgc.detection.data import _requirements as _requirements  # before all others
from jgc.detection.data._arrays import LoadedSplit, load_split
from jgc.detection.data._categories import COCO_2017, Categories
from jgc.detection.data._coco_layout import COCO_2017_SPLITS, CocoSplit
from jgc.detection.data._image_examples import ImageExamples, image_examples
from jgc.detection.data._partition import assign_partitions
from jgc.detection.data._record import Record
from jgc.detection.data._report import REASONS, SplitReport
from jgc.detection.data._shapes import SHAPE_CATEGORIES, generate_shapes
from jgc.detection.data._source import DetectionSource, open_source

__all__ = [
    "COCO_2017",
    "COCO_2017_SPLITS",
    "REASONS",
    "SHAPE_CATEGORIES",
    "Categories",
    "CocoSplit",
    "DetectionSource",
    "ImageExamples",
    "LoadedSplit",
    "Record",
    "SplitReport",
    "assign_partitions",
    "generate_shapes",
    "image_examples",
    "load_split",
    "open_source",
]
