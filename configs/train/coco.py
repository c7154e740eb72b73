r"""All schemes on COCO, or a part of it, at the paper's learning rate.

    python -m experiments.train --config=configs/train/coco.py --workdir=runs/coco \
    --config.data.directory=/path/to/coco

COCO's 12 numbers of every run are in its `scores.txt`. Forty steps from scratch show
how the losses compare; scores of interest need --config.num_iterations in the
thousands.
"""

from ml_collections import ConfigDict

from experiments.train import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = settings.default()
    config.model.image_size = 96
    config.model.width = 0.25
    config.model.strides = (8, 16, 32, 64)
    config.model.min_scale = 0.1
    config.chunk_size = 40
    config.num_iterations = 40
    config.evaluate_every = 10
    config.checkpoint_every = 10
    config.num_seeds = 1
    config.learning_rates.sgd = 0.05
    return config
