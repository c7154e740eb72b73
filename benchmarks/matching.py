"""The time to match anchors to objects, by the number of slots an image has.

    python -m benchmarks.matching

Slots are padded to the most objects that a split has: what more would cost. Prints the
median times in milliseconds for a batch of one image with eight objects.
"""

import argparse
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.timing import median_seconds
from jgc.detection import Detector, Examples, retinanet, ssdlite

NUM_OBJECTS = 8
SLOTS = (8, 20, 100)


def examples(slots: int) -> Examples:
    """One image of eight random boxes and padding, without its pixels."""
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 0.8, (NUM_OBJECTS, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.02, 0.2, low.shape)], axis=-1)
    valid = np.arange(slots) < NUM_OBJECTS
    return Examples(
        image=jnp.zeros((1, 0, 0, 3), jnp.uint8),
        boxes=jnp.zeros((1, slots, 4)).at[0, :NUM_OBJECTS].set(boxes),
        labels=jnp.zeros((1, slots), jnp.int32),
        valid=jnp.asarray(valid)[None],
        crowd=jnp.zeros((1, slots), bool),
    )


def main() -> None:
    """Prints a row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()
    print(describe_machine())
    detectors: dict[str, Detector] = {
        "SSDLite, 320 px": ssdlite(num_classes=80),
        "RetinaNet, 640 px": retinanet(num_classes=80),
    }
    for name, detector in detectors.items():
        match = jax.jit(detector.match)
        data = {str(slots): examples(slots) for slots in SLOTS}
        calls = {slots: partial(match, one) for slots, one in data.items()}
        times = median_seconds(calls, repeats=options.repeats)
        cells = ", ".join(f"{s} slots {1e3 * t:.1f} ms" for s, t in times.items())
        print(f"{name} ({detector.anchors.count} anchors): {cells}")


if __name__ == "__main__":
    main()
