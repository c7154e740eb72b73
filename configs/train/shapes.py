"""The main job: all schemes on the generated shapes, on a laptop."""

from ml_collections import ConfigDict

from experiments.train import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = settings.default()
    config.model.image_size = 64
    config.model.width = 0.25
    config.model.strides = (8, 16, 32)
    config.learning_rates.sgd = 0.02
    config.num_iterations = 150
    return config
