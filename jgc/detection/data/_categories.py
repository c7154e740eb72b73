"""COCO's category ids, and how the labels 0 … C − 1 map onto them.

TFDS labels count from 0 without gaps; COCO's category ids, which the annotation
files and pycocotools speak, run from 1 to 90 and leave ten out.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Categories(NamedTuple):
    """The classes of a data set; label i is names[i] and has COCO id ids[i]."""

    names: tuple[str, ...]
    ids: tuple[int, ...]


# The 80 categories of instances_{train,val}2017.json, by id: label i of TFDS's
# coco/2017 is the i-th of them.
_COCO_2017 = {
    1: "person",
    2: "bicycle",
    3: "car",
    4: "motorcycle",
    5: "airplane",
    6: "bus",
    7: "train",
    8: "truck",
    9: "boat",
    10: "traffic light",
    11: "fire hydrant",
    13: "stop sign",
    14: "parking meter",
    15: "bench",
    16: "bird",
    17: "cat",
    18: "dog",
    19: "horse",
    20: "sheep",
    21: "cow",
    22: "elephant",
    23: "bear",
    24: "zebra",
    25: "giraffe",
    27: "backpack",
    28: "umbrella",
    31: "handbag",
    32: "tie",
    33: "suitcase",
    34: "frisbee",
    35: "skis",
    36: "snowboard",
    37: "sports ball",
    38: "kite",
    39: "baseball bat",
    40: "baseball glove",
    41: "skateboard",
    42: "surfboard",
    43: "tennis racket",
    44: "bottle",
    46: "wine glass",
    47: "cup",
    48: "fork",
    49: "knife",
    50: "spoon",
    51: "bowl",
    52: "banana",
    53: "apple",
    54: "sandwich",
    55: "orange",
    56: "broccoli",
    57: "carrot",
    58: "hot dog",
    59: "pizza",
    60: "donut",
    61: "cake",
    62: "chair",
    63: "couch",
    64: "potted plant",
    65: "bed",
    67: "dining table",
    70: "toilet",
    72: "tv",
    73: "laptop",
    74: "mouse",
    75: "remote",
    76: "keyboard",
    77: "cell phone",
    78: "microwave",
    79: "oven",
    80: "toaster",
    81: "sink",
    82: "refrigerator",
    84: "book",
    85: "clock",
    86: "vase",
    87: "scissors",
    88: "teddy bear",
    89: "hair drier",
    90: "toothbrush",
}
#: COCO's 80 categories, whose ids go up to 90.
COCO_2017 = Categories(names=tuple(_COCO_2017.values()), ids=tuple(_COCO_2017))


def categories_from_names(names: Sequence[str]) -> Categories:
    """Returns the categories of a prepared data set that doesn't record its ids.

    Names that are all COCO's get COCO's ids. Eighty classes without names are
    COCO's. Any other set gets label + 1 as id, which serves to score against its
    own ground truth.

    Args:
        names: one name a label; where a data set has none, TFDS says "0", "1", ….
    """
    labels = range(len(names))
    if len(names) == len(COCO_2017.ids) and list(names) == [str(i) for i in labels]:
        return COCO_2017
    id_of = dict(zip(COCO_2017.names, COCO_2017.ids, strict=True))
    if all(name in id_of for name in names):
        ids = tuple(id_of[name] for name in names)
    else:
        ids = tuple(label + 1 for label in labels)
    return Categories(names=tuple(names), ids=ids)
