r"""Records what torchvision gives on `inputs`: run where it is installed.

    pip install torch==2.14.1 torchvision==0.29.1 numpy
    cd tests/detection/torchvision
    python record.py reference.npz

With `--all` every output is kept (11 MB), for `compare.py`, instead of some of them.
"""

import argparse
import io
import json
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from torchvision.models.detection.image_list import ImageList

sys.path.insert(0, str(Path(__file__).parent))
import inputs

KEPT = 3000


def build(name):
    options = {"weights": None, "weights_backbone": None}
    if name.startswith("retinanet"):
        options |= {"min_size": inputs.SHORTER, "max_size": inputs.LONGER}
    model = getattr(torchvision.models.detection, name)(**options)
    shapes = {n: list(v.shape) for n, v in model.state_dict().items()}
    arrays = {n: torch.tensor(inputs.weight(n, s)) for n, s in shapes.items()}
    model.load_state_dict(arrays)
    for module in model.modules():
        # As torchvision does it for its published RetinaNet (`overwrite_eps`).
        if isinstance(module, torch.nn.BatchNorm2d) and name.startswith("retinanet"):
            module.eps = 0.0
    return model.eval(), shapes


def outputs(model, image_name):
    (_, _), boxes, labels = inputs.IMAGES[image_name]
    pixels = torch.tensor(inputs.image(image_name)).permute(2, 0, 1)
    tensor = pixels.to(torch.float32) / 255
    target = {"boxes": torch.tensor(boxes), "labels": torch.tensor(labels)}
    images, targets = model.transform([tensor], [target])
    features = list(model.backbone(images.tensors).values())
    heads = model.head(features)
    anchors = model.anchor_generator(
        ImageList(images.tensors, images.image_sizes), features
    )
    quality = torchvision.ops.box_iou(targets[0]["boxes"], anchors[0])
    matched = model.proposal_matcher(quality)
    if isinstance(model, torchvision.models.detection.RetinaNet):
        losses = model.compute_loss(targets, heads, anchors)
    else:
        losses = model.compute_loss(targets, heads, anchors, [matched])
    (found,) = model([tensor])
    return {
        "canvas": images.tensors[0].permute(1, 2, 0),
        "anchors": anchors[0],
        "logits": heads["cls_logits"][0],
        "offsets": heads["bbox_regression"][0],
        "matched": matched.to(torch.int16),
        "losses": torch.stack([losses["classification"], losses["bbox_regression"]]),
        "boxes": found["boxes"],
        "scores": found["scores"],
        "labels": found["labels"].to(torch.int16),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args()
    content = {
        "versions": f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    }
    for name in inputs.MODELS:
        model, shapes = build(name)
        content[f"{name}/state_dict"] = json.dumps(shapes)
        for image_name in inputs.IMAGES:
            with torch.no_grad():
                found = outputs(model, image_name)
            for key, value in found.items():
                array = value.numpy()
                where = f"{name}/{image_name}/{key}"
                content[f"{where}/shape"] = np.array(array.shape)
                if (
                    key in ("canvas", "logits", "offsets", "anchors")
                    and not options.all
                ):
                    step = max(array.size // KEPT, 1) | 1
                    array = array.reshape(-1)[::step]
                    content[f"{where}/step"] = step
                content[where] = array
    for file_name, legacy in (("archive", False), ("stream", True)):
        content[f"file/{file_name}"] = np.frombuffer(saved(legacy), np.uint8)
    np.savez_compressed(options.path, **content)


def saved(legacy):
    """A small state dict as `torch.save` writes it: views, types, a scalar."""
    shared = torch.arange(24, dtype=torch.float32)
    arrays = {
        "view": shared.reshape(4, 6).T[1:4],
        "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
        "brain": torch.tensor([[0.5, 3.0]], dtype=torch.bfloat16),
        "count": torch.tensor(7),
        "parameter": torch.nn.Parameter(shared[5:8]),
        "empty": torch.zeros(0, 3),
    }
    file = io.BytesIO()
    torch.save(arrays, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


if __name__ == "__main__":
    main()
