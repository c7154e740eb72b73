"""What `experiments.residual_error` can be told: keys with defaults, and checks."""

from ml_collections import ConfigDict

from experiments.common import conditions
from experiments.common.checks import (
    require,
    require_counts,
    require_several,
    require_straggler_settings,
)
from experiments.common.schemes import SCHEMES


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()
    config.schemes = tuple(name for name in SCHEMES if name != "straggler_free")
    config.num_workers = (10, 100)  # k
    config.num_partitions = 0  # n; 0: as many as workers
    config.deadlines = (1.1, 1.5)  # τ_th of (23)
    config.psi_min = 0.1  # ψ_i ~ U(psi_min, psi_max), drawn anew for each draw
    config.psi_max = 2.0
    conditions.add_truth(config)
    conditions.add_belief(config)
    config.similarities = (1.0, 0.0)  # ρ: equal and orthogonal gradients
    config.num_draws = 10  # of p, and of the random codes
    config.num_trials = 100_000  # of Monte Carlo, a draw
    config.seed = 0
    return config


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    require_straggler_settings(config)
    # Of one iteration: a Markov chain's masks are then those of independent workers.
    conditions.check_truth(config, models=conditions.OF_P)
    conditions.check_belief(config)
    require_several(config, "num_workers", lambda k: k >= 1, "numbers of workers")
    require_several(
        config, "similarities", lambda rho: 0 <= rho <= 1, "numbers in [0, 1]"
    )
    require_counts(config, "num_draws")
    require(config, "num_trials", lambda value: value >= 2, "at least 2")
    require(
        config, "num_partitions", lambda n: n >= 0, "at least 0, where 0 is as workers"
    )
