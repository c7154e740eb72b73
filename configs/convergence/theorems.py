r"""Measured convergence under Theorems 2, 3 and 4, and biased codes beside it.

    python -m experiments.convergence --config=configs/convergence/theorems.py \
    --workdir=runs/convergence

1.5 minutes on one core of a laptop-class processor. Expect every unbiased code below
its bound; on it, up to sampling error, where all gradients agree (Theorem 3 is sharp
there) and far below where they cancel near the minimum. With γ = 1/(λt) curves fall as
1/t, and biased codes settle where the table says that they would.
"""

from ml_collections import ConfigDict

from experiments.convergence import settings as convergence_settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return convergence_settings.default()
