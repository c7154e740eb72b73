r"""All codes, k ∈ {10, 100}, τ ∈ {1.1, 1.5}, mean over p-draws, three methods.

    python -m experiments.residual_error --config=configs/residual_error/table.py \
        --workdir=runs/residual_error

Every Monte Carlo mean should agree with the other methods to a few standard errors, in
the last column of the table. Smaller: --config.num_workers=10, --config.num_draws=2.
"""

from ml_collections import ConfigDict

from experiments.common import schemes as plans


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = ConfigDict()
    config.schemes = tuple(name for name in plans.SCHEMES if name != "straggler_free")
    config.num_workers = (10, 100)  # k
    config.num_partitions = 0  # n; 0: as many as workers
    config.deadlines = (1.1, 1.5)  # τ_th of (23)
    config.psi_min = 0.1  # ψ_i ~ U(psi_min, psi_max), drawn anew for each draw
    config.psi_max = 2.0
    config.similarities = (1.0, 0.0)  # ρ: equal and orthogonal gradients
    config.num_draws = 10  # of p, and of the random codes
    config.num_trials = 100_000  # of Monte Carlo, a draw
    config.seed = 0
    return config
