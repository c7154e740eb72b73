"""What `experiments.replay` can be told: keys with defaults, and checks."""

import math

from ml_collections import ConfigDict

from experiments.common.checks import (
    listed,
    require,
    require_counts,
    require_several,
)
from experiments.replay.methods import METHODS, OF_PARTS
from experiments.replay.references import REFERENCES
from experiments.train import settings as of_training
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.tasks import TASKS

_ORDERS = ("shuffled", "task", "sorted")
_LEAST = ("minimised", "seen")


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()
    config.methods = tuple(METHODS)
    config.references = tuple(REFERENCES)  # outside synchronous training
    config.optimizers = ("sgd",)  # of experiments/train/optimizers.py

    config.trace = ""  # recorded latencies, a file that `load_trace` reads
    # The part of the recorded seconds that is work at an even share; or below 0, and
    # the slope in seconds for the whole data set, with the share recorded.
    config.work_fraction = 0.1
    config.slope = 0.0
    config.recorded_load = 0.0
    config.missing_is_late = False
    config.split = True  # advise on the first half, replay the second; else on all
    # From the middle of the iterations on seconds are multiplied by it: 2 halves the
    # speed.
    config.slowdown = 1.0
    config.interruptible = True  # late workers drop their work when a round begins

    # What is trained: a task of experiments.train, with its settings.
    config.train = of_training.default()
    config.train.task = "logistic"
    config.train.logistic.num_train = 4096
    config.train.logistic.num_validation = 256
    config.train.logistic.log_scales = (-0.5, 0.0)  # plain SGD gets there
    # Examples to partitions: "shuffled", in the "task" own order, or "sorted" by the
    # array called sort_by.
    config.order = "shuffled"
    config.sort_by = "positive"

    config.iterations = 300
    config.targets = (1e-2, 1e-3)  # of the gap L - L* at the start
    config.step_sizes = 20  # tried, evenly by their logarithm
    config.smallest_step = 1e-3
    config.largest_step = 1e2
    # L*: "minimised" by L-BFGS, or the least that was "seen" by any run.
    config.least_loss = "minimised"
    return config


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    require(config, "trace", bool, "a file of latencies")
    known = METHODS | OF_PARTS
    require_several(config, "methods", known.__contains__, f"of {listed(known)}")
    single = [name for name, one in OPTIMIZERS.items() if one.single_track is None]
    require_several(config, "optimizers", single.__contains__, f"of {listed(single)}")
    require(
        config,
        "references",
        lambda names: all(name in REFERENCES for name in names),
        f"of {listed(REFERENCES)}",
    )
    require(config, "work_fraction", lambda value: value <= 1, "at most 1")
    require(config, "slope", lambda value: 0 <= value < math.inf, "at least 0")
    require(config, "recorded_load", lambda value: 0 <= value <= 1, "from 0 to 1")
    require(config, "slowdown", lambda value: 0 < value < math.inf, "above 0")
    require(config, "train.task", TASKS.__contains__, listed(TASKS))
    # Losses are compared with L* of all the data.
    require(config, "train.batch_size", lambda value: value == 0, "0, all examples")
    require(config, "order", _ORDERS.__contains__, listed(_ORDERS))
    require(config, "least_loss", _LEAST.__contains__, listed(_LEAST))
    require_counts(config, "iterations", "step_sizes")
    require_several(config, "targets", lambda value: 0 < value < 1, "between 0 and 1")
    require(config, "smallest_step", lambda value: 0 < value < math.inf, "above 0")
    require(
        config,
        "largest_step",
        lambda value: value >= config.smallest_step,
        f"at least smallest_step = {config.smallest_step}",
    )
