r"""All codes, k ∈ {10, 100}, τ ∈ {1.1, 1.5}, mean over p-draws, three methods.

    python -m experiments.residual_error --config=configs/residual_error/table.py \
        --workdir=runs/residual_error

Every Monte Carlo mean should agree with the other methods to a few standard errors, in
the last column of the table. Smaller: --config.num_workers=10, --config.num_draws=2.
"""

from ml_collections import ConfigDict

from experiments.residual_error import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return settings.default()
