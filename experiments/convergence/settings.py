"""What `experiments.convergence` can be told: every key with its default, its check."""

import math

from ml_collections import ConfigDict

from experiments.common import conditions
from experiments.common.checks import (
    listed,
    require,
    require_counts,
    require_several,
    require_straggler_settings,
)
from experiments.convergence.studies import MEASURED, STUDIES


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()
    config.schemes = (
        "straggler_free",
        "scheme_i",
        "scheme_ii",
        "interval",
        "stochastic",
        "uncoded",
        "uncoded_rescaled",
    )
    config.studies = tuple(STUDIES)
    config.num_workers = 10  # k
    config.num_partitions = 10  # n
    config.replication = 2  # d of SGC
    config.deadlines = (1.1, 1.5)  # τ_th of (23)
    config.psi_min = 0.1  # ψ_i ~ U(psi_min, psi_max)
    config.psi_max = 2.0
    conditions.add_belief(config)  # codes told a wrong p are biased
    config.seed = 0  # of ψ, of SGC's placement and of the masks
    config.num_seeds = 200  # runs that each curve is the mean of
    config.num_iterations = 1000  # T

    config.num_examples = 200  # N, of every problem
    config.dimension = 8
    config.regularizer = 0.1  # λ of logistic regression and hinge loss
    return config


def check(config: ConfigDict) -> None:
    """Checks everything in a config that needs no plan.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    require_counts(config, "num_workers", "num_partitions", "replication", "dimension")
    for key in ("num_seeds", "num_iterations"):
        require(config, key, lambda value: value >= 2, "at least 2")
    require(
        config,
        "num_examples",
        lambda value: value >= max(config.dimension, config.num_partitions),
        "at least dimension and num_partitions",
    )
    require(config, "regularizer", lambda value: 0 < value < math.inf, "above 0")
    require_several(config, "studies", STUDIES.__contains__, f"of {listed(STUDIES)}")
    require_straggler_settings(config, schemes=MEASURED)
    conditions.check_belief(config)
