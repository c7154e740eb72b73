"""What `experiments.decoding` can be told: keys with defaults, and checks."""

import math

from ml_collections import ConfigDict

from experiments.common import conditions
from experiments.common.checks import (
    listed,
    require,
    require_counts,
    require_several,
)
from experiments.decoding.methods import CODES, DECODERS, LAWS, MOST_WORKERS
from experiments.decoding.problems import PROBLEMS


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()
    config.num_workers = 10  # k = n; all 2^k masks are enumerated
    config.codes = tuple(CODES)
    config.decoders = tuple(DECODERS)
    config.loads = (1, 2, 4)
    config.laws = tuple(LAWS)  # of p
    config.similarities = (0.0, 0.5, 0.9, 1.0)  # ρ
    config.num_draws = 3  # of p and of random codes
    conditions.add_belief(config)
    config.seed = 0

    training = config.training = ConfigDict()
    training.problems = tuple(PROBLEMS)
    training.laws = ("U(0.01, 0.3)", "psi, tau 1.1")
    training.codes = ("uncoded", "interval", "balanced_repetition")
    training.loads = (1, 2)
    training.diversities = (0.0, 1.0)  # partitions alike and unlike
    training.num_iterations = 400
    training.num_examples = 20  # a partition
    training.dimension = 8
    training.largest_step = 32.0  # in units of 1/smoothness, and down by halves
    training.num_steps = 12
    training.num_tuning_seeds = 4  # that choose the step, apart from
    training.num_seeds = 10  # those reported
    return config


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    require(
        config,
        "num_workers",
        lambda k: 4 <= k <= MOST_WORKERS,
        f"from 4 to {MOST_WORKERS}, as all masks are enumerated",
    )
    for prefix in ("", "training."):
        require_several(
            config, f"{prefix}codes", CODES.__contains__, f"of {listed(CODES)}"
        )
        require_several(
            config, f"{prefix}laws", LAWS.__contains__, f"of {listed(LAWS)}"
        )
        require_several(
            config,
            f"{prefix}loads",
            lambda load: 1 <= load <= config.num_workers,
            f"numbers from 1 to num_workers = {config.num_workers}",
        )
    require_several(config, "decoders", DECODERS.__contains__, f"of {listed(DECODERS)}")
    require_several(
        config, "similarities", lambda rho: 0 <= rho <= 1, "numbers in [0, 1]"
    )
    require_counts(config, "num_draws")
    conditions.check_belief(config)
    require(
        config,
        "training.problems",
        lambda names: len(names) > 0 and set(names) <= set(PROBLEMS),
        f"one or more of {listed(PROBLEMS)}",
    )
    require(
        config,
        "training.diversities",
        lambda values: len(values) > 0 and all(0 <= v < math.inf for v in values),
        "one or more numbers ≥ 0",
    )
    require(config, "training.largest_step", lambda v: 0 < v < math.inf, "above 0")
    for key in (
        "num_iterations",
        "num_examples",
        "dimension",
        "num_steps",
        "num_tuning_seeds",
    ):
        require(config, f"training.{key}", lambda value: value >= 1, "at least 1")
    require(config, "training.num_seeds", lambda value: value >= 2, "at least 2")
