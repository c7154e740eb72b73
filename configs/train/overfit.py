r"""Eight images learned by heart: that boxes, labels, matching and NMS are right.

    python -m experiments.train --config=configs/train/overfit.py \
        --workdir=runs/overfit --config.data.directory=/path/to/coco

Ends with mAP ≥ 0.5 on those images.
"""

from ml_collections import ConfigDict

from experiments.train import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = settings.default()
    config.schemes = ("straggler_free",)
    config.num_partitions = 8
    config.num_workers = 8
    config.num_seeds = 1
    config.data.num_train = 8
    config.data.validate_on_train = True
    config.optimizers = ("adam",)
    config.learning_rates.adam = 0.002
    config.num_iterations = 120
    config.evaluate_every = 40
    config.checkpoint_every = 40
    config.model.image_size = 160
    config.model.width = 0.5
    config.model.strides = (8, 16, 32, 64, 128)
    config.model.min_scale = 0.08
    return config
