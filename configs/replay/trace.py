r"""Advice on the first half of a trace, replayed on the second against its rivals.

    python -m experiments.replay --config=configs/replay/trace.py \
        --trace=latencies.csv --workdir=runs/replay

Logistic regression on generated data, 256 workers in one process: about three minutes
on 2 cores. The table has the seconds to 1 % and 0.1 % of the initial gap of the advised
option, and of every rival at its best setting in hindsight, step sizes tuned for each.
"""

from ml_collections import ConfigDict

from experiments.replay.methods import METHODS
from experiments.replay.references import REFERENCES
from experiments.train import settings


def get_config() -> ConfigDict:
    """Settings of the replay."""
    config = ConfigDict()
    config.methods = tuple(METHODS)
    config.references = tuple(REFERENCES)  # outside synchronous training
    config.optimizers = ("sgd",)  # of experiments/train/optimizers.py

    # The part of the recorded seconds that is work at an even share; or below 0, and
    # the slope in seconds for the whole data set, with the share recorded.
    config.work_fraction = 0.1
    config.slope = 0.0
    config.recorded_load = 0.0
    config.missing_is_late = False
    config.split = True  # advise on the first half, replay the second; else on all
    config.interruptible = True  # late workers drop their work when a round begins

    # What is trained: a task of experiments.train, with its settings.
    config.train = settings.default()
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
