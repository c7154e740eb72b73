r"""Measured convergence under Theorems 2, 3, 4 and C.4.3, and a biased code beside it.

    python -m experiments.convergence --config=configs/convergence.py \
        --workdir=runs/convergence
"""

from ml_collections import ConfigDict

from experiments import convergence_settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return convergence_settings.default()
