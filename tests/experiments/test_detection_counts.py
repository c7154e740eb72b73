import numpy as np

from experiments.train.tasks.detection_counts import count, shares
from jgc.detection import Detections, Examples

LEFT, RIGHT, BELOW = (0, 0, 0.4, 0.4), (0, 0.5, 0.4, 0.9), (0.5, 0, 1, 1)


def one_image(*found):
    """Detections of (box, label, score), against two objects and a crowd."""
    boxes = np.zeros((1, 6, 4), np.float32)
    labels, scores = np.zeros((1, 6), int), np.zeros((1, 6), np.float32)
    for slot, (box, label, score) in enumerate(found):
        boxes[0, slot], labels[0, slot], scores[0, slot] = box, label, score
    detections = Detections(boxes, scores, labels, np.arange(6)[None] < len(found))
    examples = Examples(
        image=np.zeros((1, 8, 8, 3), np.uint8),
        boxes=np.array([[LEFT, RIGHT, BELOW, (0, 0, 0, 0)]], np.float32),
        labels=np.array([[1, 2, 1, 0]]),
        valid=np.array([[True, True, False, False]]),
        crowd=np.array([[False, False, True, False]]),
    )
    return tuple(int(field[0]) for field in count(detections, examples))


def test_objects_are_found_doubled_and_mistaken():
    assert one_image() == (2, 0, 0, 0)
    assert one_image((LEFT, 1, 0.9), (RIGHT, 2, 0.4)) == (2, 2, 0, 0)
    shifted = (0, 0.05, 0.4, 0.45)
    assert one_image((shifted, 1, 0.9), (LEFT, 1, 0.8)) == (2, 1, 1, 0)
    # As another class: beside the right one a double, alone a mistake.
    assert one_image((LEFT, 1, 0.9), (LEFT, 2, 0.8)) == (2, 1, 1, 0)
    assert one_image((LEFT, 2, 0.9)) == (2, 0, 0, 1)
    assert one_image((LEFT, 2, 0.9), (LEFT, 1, 0.8)) == (2, 1, 0, 1)
    far = (0.2, 0.2, 0.6, 0.6)
    assert one_image((far, 1, 0.9)) == (2, 0, 0, 1)


def test_what_is_not_shown_or_in_a_crowd_does_not_count():
    assert one_image((LEFT, 1, 0.29)) == (2, 0, 0, 0)
    assert one_image(((0.6, 0.1, 0.9, 0.3), 1, 0.9)) == (2, 0, 0, 0)


def test_shares_are_for_each_object():
    counts = count(
        Detections(
            np.zeros((2, 1, 4)),
            np.zeros((2, 1)),
            np.zeros((2, 1), int),
            np.zeros((2, 1), bool),
        ),
        Examples(
            np.zeros((2, 8, 8, 3), np.uint8),
            np.zeros((2, 2, 4)),
            np.zeros((2, 2), int),
            np.zeros((2, 2), bool),
            np.zeros((2, 2), bool),
        ),
    )
    assert shares(counts) == {"found": 0, "doubled": 0, "mistaken": 0}
    some = counts._replace(objects=np.array([3, 1]), found=np.array([2, 1]))
    assert shares(some) == {"found": 0.75, "doubled": 0, "mistaken": 0}
