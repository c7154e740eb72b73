r"""The largest difference from torchvision at each stage, for both detectors.

python tests/detection/torchvision/record.py --all /tmp/all.npz    # has torchvision
python -m tests.detection.torchvision.compare /tmp/all.npz
"""

import dataclasses
import functools
import json
import sys
from pathlib import Path

import jax
import numpy as np

from jgc.detection import Examples, Matches, Predictions
from jgc.detection.torchvision import load
from tests.detection import helpers
from tests.detection.torchvision import inputs

REFERENCE = Path(__file__).parent / "reference.npz"


class Reference:
    """torchvision's values, and ours at the places that were kept."""

    def __init__(self, path=REFERENCE):
        with np.load(path) as file:
            self._content = {name: file[name] for name in file.files}

    def state_dict(self, model):
        shapes = json.loads(str(self._content[f"{model}/state_dict"]))
        return {name: inputs.weight(name, shape) for name, shape in shapes.items()}

    def file(self, name):
        return self._content[f"file/{name}"].tobytes()

    def __call__(self, model, image, stage):
        return self._content[f"{model}/{image}/{stage}"]

    def difference(self, model, image, stage, ours):
        """The largest one, in the stage's own units."""
        where = f"{model}/{image}/{stage}"
        ours = np.asarray(ours)
        assert ours.shape == tuple(self._content[f"{where}/shape"])
        theirs = self._content[where]
        if f"{where}/step" in self._content:
            ours = ours.reshape(-1)[:: int(self._content[f"{where}/step"])]
        return float(np.abs(ours - theirs).max())


def pretrained(reference, model):
    found = load(model, reference.state_dict(model))
    if found.shorter is None:
        return found
    shape = inputs.SHORTER, inputs.LONGER
    return dataclasses.replace(
        found,
        detector=found.detector_for(shape),
        shorter=inputs.SHORTER,
        longer=inputs.LONGER,
    )


def targets(model, image, extent):
    """The objects relative to the canvas, as `Examples` without pixels; one padded."""
    (height, width), boxes, category_ids = inputs.IMAGES[image]
    relative = np.array(boxes)[:, [1, 0, 3, 2]] / [height, width, height, width]
    padded = np.concatenate([relative * [*extent, *extent], np.zeros((1, 4))])
    valid = np.arange(len(padded)) < len(boxes)
    labels = np.array([model.category_ids.index(c) for c in category_ids] + [0])
    return Examples(
        image=np.zeros((1, 0, 0, 3), np.uint8),
        boxes=padded[None].astype(np.float32),
        labels=labels[None],
        valid=valid[None],
        crowd=np.zeros_like(valid)[None],
    )


def in_pixels(boxes, shape):
    """Relative (y, x, y, x) as torchvision's (x, y, x, y)."""
    height, width = shape
    scaled = np.asarray(boxes, np.float64) * [height, width, height, width]
    return scaled[..., [1, 0, 3, 2]]


def differences(reference, name, model, image):
    """By stage; losses with torchvision's matches, detections paired by label and box.

    Of two anchors that overlap an object equally, torchvision takes the one that
    rounding favours: such are "ties", all others that differ are "matched".
    """
    canvas = model.canvas(inputs.image(image))
    detector = model.detector_for(canvas.pixels.shape[:2])
    logits, offsets = predict(detector, model.weights, canvas.pixels[None])
    examples = targets(model, image, canvas.extent)
    theirs = reference(name, image, "matched").astype(np.int32)
    matches = Matches(
        np.maximum(theirs, 0)[None], theirs[None] >= 0, theirs[None] == -2
    )
    losses = detector.losses_of(Predictions(logits, offsets), examples, matches=matches)
    extent = np.array([canvas.extent], np.float32)
    found = jax.jit(detector.detections_of)(Predictions(logits, offsets), extent=extent)
    found = jax.tree.map(lambda leaf: leaf[0], found)
    own = {
        "canvas": canvas.pixels,
        "anchors": in_pixels(detector.anchor_boxes, detector.image_shape),
        "logits": logits[0],
        "offsets": np.asarray(offsets)[0][:, [1, 0, 3, 2]],
    }
    return {
        **{key: reference.difference(name, image, key, own[key]) for key in own},
        **_matches(detector, examples, theirs),
        "losses": float(
            np.abs(np.ravel(losses) / reference(name, image, "losses") - 1).max()
        ),
        **_detections(reference, name, model, image, found),
    }


def _matches(detector, examples, theirs):
    matches = jax.tree.map(lambda leaf: leaf[0], detector.match(examples))
    ours = np.where(matches.positive, matches.object, -1)
    ours = np.where(matches.ignored, -2, ours)
    differ = np.flatnonzero(ours != theirs)
    ties = 0
    for a in differ:
        slot = max(ours[a], theirs[a])
        rivals = [b for b in differ if b != a and slot in (ours[b], theirs[b])]
        box = examples.boxes[0, slot]
        overlap = helpers.iou(detector.anchor_boxes[a], box)
        ties += any(
            abs(helpers.iou(detector.anchor_boxes[b], box) / overlap - 1) < 1e-4
            for b in rivals
        )
    return {"ties": ties, "matched": len(differ) - ties}


def _detections(reference, name, model, image, found):
    boxes, scores, labels = (
        reference(name, image, key) for key in ("boxes", "scores", "labels")
    )
    valid = np.asarray(found.valid)
    own = in_pixels(np.asarray(found.boxes)[valid], inputs.IMAGES[image][0])
    own_labels = np.array(model.category_ids)[np.asarray(found.labels)[valid]]
    own_scores = np.asarray(found.scores)[valid]
    if len(own) != len(boxes):
        return {
            "unpaired": abs(len(own) - len(boxes)),
            "boxes": np.inf,
            "scores": np.inf,
        }
    apart = np.abs(own[:, None] - boxes[None]).max(-1)
    apart[own_labels[:, None] != labels[None]] = np.inf
    pair = apart.argmin(axis=1)
    return {
        "unpaired": len(boxes) - len(set(pair.tolist())),
        "boxes": float(apart.min(axis=1).max()),
        "scores": float(np.abs(own_scores - scores[pair]).max()),
    }


@functools.partial(jax.jit, static_argnums=0)
def predict(detector, weights, pixels):
    return detector.predict_scaled(weights.params, pixels, constants=weights.constants)


def main():
    reference = Reference(sys.argv[1])
    for name in inputs.MODELS:
        model = pretrained(reference, name)
        for image in inputs.IMAGES:
            print(name, image)
            for stage, value in differences(reference, name, model, image).items():
                print(f"    {stage:10} {value:.3g}")


if __name__ == "__main__":
    main()
