"""What `experiments.convergence` can be told: every key with its default, its check."""

import math
from collections.abc import Iterable

from ml_collections import ConfigDict

from experiments.convergence_studies import SCHEMES, STUDIES
from experiments.settings import _listed, _require


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()
    config.schemes = (
        "gd",
        "scheme_i",
        "scheme_ii",
        "interval",
        "sgc",
        "is_sgd",
        "is_sgd_rescaled",
    )
    config.studies = tuple(STUDIES)
    config.num_workers = 10  # k
    config.num_partitions = 10  # n
    config.replication = 2  # d of SGC
    config.deadlines = (1.1, 1.5)  # τ_th of (23)
    config.psi_min = 0.1  # ψ_i ~ U(psi_min, psi_max)
    config.psi_max = 2.0
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
    for key in ("num_workers", "num_partitions", "replication", "dimension"):
        _require(config, key, lambda value: value >= 1, "at least 1")
    for key in ("num_seeds", "num_iterations"):
        _require(config, key, lambda value: value >= 2, "at least 2")
    _require(
        config,
        "num_examples",
        lambda value: value >= max(config.dimension, config.num_partitions),
        "at least dimension and num_partitions",
    )
    for key in ("psi_min", "regularizer"):
        _require(config, key, lambda value: 0 < value < math.inf, "above 0")
    _require(
        config,
        "psi_max",
        lambda value: config.psi_min <= value < math.inf,
        f"at least psi_min = {config.psi_min}",
    )
    known: dict[str, Iterable[str]] = {"schemes": SCHEMES, "studies": STUDIES}
    for key, names in known.items():
        accepted = set(names)
        _require(
            config,
            key,
            lambda values: len(values) > 0 and accepted.issuperset(values),  # noqa: B023
            f"one or more of {_listed(accepted)}",
        )
    _require(
        config,
        "deadlines",
        lambda values: len(values) > 0 and all(1 < v < math.inf for v in values),
        "one or more numbers above 1, the time that no worker beats",
    )
    for key in ("schemes", "studies", "deadlines"):
        _require(
            config, key, lambda values: len(set(values)) == len(values), "no repetition"
        )
