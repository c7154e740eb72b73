r"""Measured convergence under Theorems 2, 3, 4 and C.4.3, and biased codes beside it.

    python -m experiments.convergence --config=configs/convergence.py \
    --workdir=runs/convergence

1.5 minutes on one core of a laptop-class processor. Expect every unbiased code below
its bound (max measured/bound at most 0.72, the start of the constant-step study), the
1/(λt) curves falling as 1/t, and IS-SGD settling where the table says that it would.
"""

from ml_collections import ConfigDict

from experiments import convergence_settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return convergence_settings.default()
