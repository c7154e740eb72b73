r"""SSDLite's speed on a CPU against torchvision's, in turns in one process.

    pip install torch==2.14.1 torchvision==0.29.1    # jgc needs neither
    python -m benchmarks.torchvision [--size=320] [--images=8] [--repeats=31]

Images a second of three things, for torchvision's model with its batch norm and with
group norm, and for jgc's with group norm and with constants in its place:

- loss: forward, losses and the gradient of all parameters,
- network: the same of the mean square of the raw outputs, without losses,
- forward: raw outputs alone; batch norm at inference.

All with the C library told to keep freed memory, as the experiments do
(`--keep_freed_memory=0`: as it comes).
"""

import argparse
from collections.abc import Callable

import jax
import numpy as np
import torch
import torchvision

from benchmarks.coded_step import NUM_CLASSES, random_examples
from benchmarks.machine import describe_machine
from benchmarks.timing import median_seconds
from experiments.common.memory import keep_freed
from jgc.detection import Examples, ssdlite

_GROUPS = 8


def _group_norm(channels: int) -> torch.nn.Module:
    return torch.nn.GroupNorm(_GROUPS if channels % _GROUPS == 0 else 1, channels)


def torchvision_calls(
    examples: Examples, norm: str
) -> dict[str, Callable[[], torch.Tensor]]:
    """What is timed of torchvision's SSDLite: its own transforms, losses and all."""
    # As XLA does; untrained batch norm makes numbers that small.
    torch.set_flush_denormal(True)
    layer = torch.nn.BatchNorm2d if norm == "batch" else _group_norm
    model = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=NUM_CLASSES, norm_layer=layer
    ).train()
    pixels = torch.tensor(np.array(examples.image)).permute(0, 3, 1, 2).contiguous()
    images = list(pixels.float() / 255)
    size = pixels.shape[-1]
    targets = [
        # Ours are (y, x, y, x) from 0 to 1.
        {"boxes": torch.tensor(size * boxes[:, [1, 0, 3, 2]] + [0, 0, 1, 1]).float(),
         "labels": torch.tensor(labels).long() % (NUM_CLASSES - 1) + 1}
        for boxes, labels in zip(
            np.array(examples.boxes), np.array(examples.labels), strict=True
        )
    ]  # fmt: skip
    batch = (pixels.float() / 255 - 0.5) / 0.5

    def raw() -> torch.Tensor:
        heads = model.head(list(model.backbone(batch).values()))
        return sum(value.square().mean() for value in heads.values())

    def gradient(value: torch.Tensor) -> torch.Tensor:
        model.zero_grad()
        value.backward()
        return value.detach()

    def forward() -> torch.Tensor:
        model.eval()
        with torch.inference_mode():
            value = raw()
        model.train()
        return value

    return {
        "loss": lambda: gradient(sum(model(images, targets).values())),
        "network": lambda: gradient(raw()),
        "forward": forward,
    }


def jgc_calls(examples: Examples, norm: str) -> dict[str, Callable[[], jax.Array]]:
    """The same of jgc's SSDLite."""
    detector = ssdlite(
        num_classes=NUM_CLASSES, image_size=examples.image.shape[1], norm=norm
    )
    params = jax.jit(detector.init)(jax.random.key(0))

    def raw(params: dict) -> jax.Array:
        outputs = detector.predict(params, examples.image)
        return sum((leaf**2).mean() for leaf in jax.tree.leaves(outputs))

    calls = {
        "loss": jax.jit(
            jax.value_and_grad(lambda params: detector.loss(params, examples).mean())
        ),
        "network": jax.jit(jax.value_and_grad(raw)),
        "forward": jax.jit(raw),
    }
    return {name: lambda call=call: call(params) for name, call in calls.items()}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=31)
    parser.add_argument("--keep_freed_memory", type=int, default=1)
    options = parser.parse_args()
    if options.keep_freed_memory:
        keep_freed()
    examples = random_examples(options.images, options.size)
    models = {
        "torchvision, batch norm": torchvision_calls(examples, "batch"),
        "torchvision, group norm": torchvision_calls(examples, "group"),
        "jgc, group norm": jgc_calls(examples, "group"),
        "jgc, constants": jgc_calls(examples, "frozen"),
    }
    print(describe_machine())
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}")
    print(f"{options.images} images of {options.size} px: images/s")
    for what in ("loss", "network", "forward"):
        medians = median_seconds(
            {name: calls[what] for name, calls in models.items()},
            repeats=options.repeats,
        )
        for name, seconds in medians.items():
            print(f"  {what:8}  {name:24}  {options.images / seconds:6.1f}", flush=True)


if __name__ == "__main__":
    main()
