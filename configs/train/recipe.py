r"""Torchvision's recipes for detectors on COCO, with coded workers for its GPUs.

    python -m experiments.train --config=configs/train/recipe.py:ssdlite \
        --workdir=runs/recipe --config.data.directory=/path/to/coco

and the same with `recipe.py:retinanet`. Eight workers where torchvision has eight GPUs,
with as many images each: 24 in 660 epochs at a rate of 0.15 down half a cosine for
ssdlite320_mobilenet_v3_large, 2 in 26 epochs at 0.01 in steps for
retinanet_resnet50_fpn. Needs an accelerator: 403,000 and 190,000 iterations a run.

What differs: RetinaNet starts without ImageNet's weights, with group norm in place of
frozen batch norm, and its images are stretched to 640 by 640, not to 800 pixels of the
shorter side. Detectors differ from torchvision's by default as `jgc.detection.ssdlite`
and `jgc.detection.retinanet` say.
"""

from ml_collections import ConfigDict

from experiments.train import settings

_IMAGES = 117_266  # of train2017, with objects


def get_config(model: str = "ssdlite") -> ConfigDict:
    """Settings of the experiment, for "ssdlite" or "retinanet"."""
    config = settings.default()
    config.schemes = ("straggler_free", "uncoded_mean", "interval", "interval_best")
    config.num_workers = 8
    config.num_partitions = 8
    config.num_seeds = 1
    config.optimizers = ("momentum",)
    config.data.in_memory = False
    config.data.num_validation = 5000
    config.data.scorer = "hotcoco"
    config.model.name = model
    config.warmup_iterations = 1000
    if model == "retinanet":
        epochs, config.batch_size = 26, 2
        config.learning_rates.momentum = 0.01
        config.weight_decay = 1e-4
        config.schedule = "step"
        config.schedule_steps = (16 / 26, 22 / 26)
        config.data.augmentation = "flip"
        config.model.image_size = 640
    else:
        epochs, config.batch_size = 660, 24
        config.learning_rates.momentum = 0.15
        config.weight_decay = 4e-5
        config.schedule = "cosine"
        config.data.augmentation = "crop"
    batch = config.num_workers * config.batch_size
    config.num_iterations = epochs * _IMAGES // batch
    config.evaluate_every = config.checkpoint_every = _IMAGES // batch
    return config
