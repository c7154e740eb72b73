r"""Messages in fewer bits: loss against iterations and against megabytes.

    python -m experiments.train --config=configs/train/codecs.py --workdir=runs/codecs

Logistic regression of 500 features, so that a message has something to compress; each
codec at its best learning rate of seven (`tuned.md`, `tuned.png`).
"""

from ml_collections import ConfigDict

from experiments.train import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = settings.default()
    config.task = "logistic"
    config.schemes = ("straggler_free", "interval")
    config.deadlines = (1.5,)
    config.num_seeds = 2
    config.runs_at_once = 2
    config.codecs = (
        "float32",
        "bfloat16",
        "int8",
        "sign",
        "one_bit",
        "random_subspace",
    )
    config.subspace_factor = 32
    config.optimizers = ("sgd",)
    config.learning_rates.sgd = 1.0
    config.rate_factors = (1.0, 0.25, 0.5, 2.0, 4.0, 8.0, 16.0)
    config.logistic.log_scales = (-1.0, 0.0)
    config.logistic.dimension = 500
    config.logistic.num_train = 5000
    config.logistic.num_validation = 2000
    config.num_iterations = 300
    config.evaluate_every = 10
    config.checkpoint_every = 300
    return config
