r"""Measured convergence under Theorems 2, 3 and 4, and biased codes beside it.

    python -m experiments.convergence --config=configs/convergence/theorems.py \
    --workdir=runs/convergence

1.5 minutes on one core of a laptop-class processor. Expect every unbiased code below
the bound of each theorem, and below the sharper form where there is one: for equal
gradients and convex losses on it, up to sampling error, and far below where gradients
cancel near the minimum. Theorem 4 bounds the distance at γ = 1/(λt) twice as loosely as
Theorem 2 after 1,000 iterations, and 1 − 2γλ in place of 1 − γλ seven times as tightly.
With γ = 1/(λt) curves fall as 1/t, and biased codes settle where the table says that
they would.
"""

from ml_collections import ConfigDict

from experiments.convergence import settings as convergence_settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return convergence_settings.default()
