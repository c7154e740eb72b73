r"""Workers that send each partition's message when it is done, against whole messages.

    python -m experiments.replay --config=configs/replay/partial.py \
        --config.trace=latencies.csv --workdir=runs/partial

Half of the recorded seconds is work that grows with the data. The same repetition code
with what is not whole at the deadline dropped, and in parts; ignoring the late and
rescaling; one of each group: each at its best setting in hindsight, step sizes tuned.
"""

from ml_collections import ConfigDict

from experiments.replay import settings
from experiments.replay.methods import OF_PARTS


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = settings.default()
    config.methods = (
        "wait for all",
        "ignore the late, rescale",
        "first m, rescale",
        "fractional repetition, exact",
        *OF_PARTS,
    )
    config.references = ()
    config.work_fraction = 0.5
    config.smallest_step, config.largest_step, config.step_sizes = 0.1, 30.0, 24
    return config
