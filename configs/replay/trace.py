r"""Advice on the first half of a trace, replayed on the second against its rivals.

    python -m experiments.replay --config=configs/replay/trace.py \
        --config.trace=latencies.csv --workdir=runs/replay

Logistic regression on generated data, 256 workers in one process: about three minutes
on 2 cores. The table has the seconds to 1 % and 0.1 % of the initial gap of the advised
option, and of every rival at its best setting in hindsight, step sizes tuned for each.
"""

from ml_collections import ConfigDict

from experiments.replay import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return settings.default()
