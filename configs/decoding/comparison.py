r"""Every code × decoder at loads 1, 2 and 4, and training at equal load.

    python -m experiments.decoding --config=configs/decoding/comparison.py \
        --workdir=runs/decoding
"""

from ml_collections import ConfigDict

from experiments.decoding import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return settings.default()
