"""Plain NumPy references: loops, one box at a time."""

import numpy as np


def iou(first, second):
    height = min(first[2], second[2]) - max(first[0], second[0])
    width = min(first[3], second[3]) - max(first[1], second[1])
    if height <= 0 or width <= 0:
        return 0.0
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (first, second)]
    return height * width / (areas[0] + areas[1] - height * width)


def covered(anchor, box):
    """Share of the anchor's area in the box."""
    height = min(anchor[2], box[2]) - max(anchor[0], box[0])
    width = min(anchor[3], box[3]) - max(anchor[1], box[1])
    area = (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])
    return max(height, 0) * max(width, 0) / area


def match(anchors, boxes, valid, crowd, *, positive_iou, negative_iou, crowd_overlap):
    overlap = np.array(
        [[iou(a, b) if v else 0.0 for b, v in zip(boxes, valid, strict=True)]
         for a in anchors]
    )  # fmt: skip
    chosen = np.zeros(len(anchors), int)
    positive = np.zeros(len(anchors), bool)
    ignored = np.zeros(len(anchors), bool)
    owned = set()
    for slot in sorted(range(len(boxes)), key=lambda m: -overlap[:, m].max()):
        free = [a for a in range(len(anchors)) if a not in owned]
        anchor = max(free, key=lambda a: overlap[a, slot])
        if valid[slot] and overlap[anchor, slot] > 0:
            owned.add(anchor)
            chosen[anchor], positive[anchor] = slot, True
    for a in range(len(anchors)):
        if a in owned:
            continue
        best = overlap[a].max()
        if best >= positive_iou:
            chosen[a], positive[a] = overlap[a].argmax(), True
        else:
            ignored[a] = best >= negative_iou or any(
                c and covered(anchors[a], b) >= crowd_overlap
                for b, c in zip(boxes, crowd, strict=True)
            )
    return chosen, positive, ignored


def nms(boxes, labels, valid, iou_threshold):
    keep = []
    for index in range(len(boxes)):
        if valid[index] and not any(
            labels[index] == labels[better]
            and iou(boxes[index], boxes[better]) > iou_threshold
            for better in keep
        ):
            keep.append(index)
    return np.isin(np.arange(len(boxes)), keep)


def random_boxes(rng, count, *, least=0.05, most=0.6):
    low = rng.uniform(0, 0.7, (count, 2))
    sizes = rng.uniform(least, most, (count, 2))
    return np.concatenate([low, low + sizes], axis=-1).astype(np.float32)
