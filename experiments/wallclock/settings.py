"""What `experiments.wallclock` can be told: keys with defaults, and checks."""

import math

from ml_collections import ConfigDict

from experiments.common import conditions
from experiments.common.checks import (
    listed,
    require,
    require_counts,
    require_several,
)
from experiments.wallclock.schemes import NAMES


def default() -> ConfigDict:
    """The settings that a config file starts from."""
    config = ConfigDict()
    config.schemes = NAMES
    config.num_workers = 10  # k
    config.num_partitions = 10  # n
    config.num_seeds = 2  # of the machines, and of the random codes
    config.ray_address = ""  # of a Ray cluster; empty: this machine

    # Logistic regression: an iteration's computation takes a millisecond, so that the
    # injected delays decide.
    config.num_examples = 2000
    config.dimension = 20
    config.least_scale = 0.1  # of features, from 1 down: a range of curvatures
    config.diversity = 0.5  # of the partitions' own signals, beside a common one of 1
    config.seed = 0  # of the data

    # The machines: worker i takes `compute` times its share of the data, where 1 is an
    # even one, and a tail Exp(ψ_i), both in time units.
    config.time_unit = 0.1  # seconds
    config.compute = 0.2
    config.psi_min = 0.1  # ψ_i ~ U(psi_min, psi_max)
    config.psi_max = 2.0
    config.trace = ""  # a recorded trace instead
    config.missing_is_late = False  # empty cells are answers that never came
    config.trace_scale = 0.1  # what its seconds are multiplied by

    # What each scheme chooses among in the rehearsal, in virtual time.
    config.step_sizes = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0, 11.0, 16.0)
    config.deadlines = (0.5, 1.0, 1.5, 2.0, 3.0, 5.0)  # τ_th in time units
    config.replications = (2, 3, 5)  # d of fractional repetition, exact
    config.rehearsals = 6  # the mean of which counts
    config.rehearsal_iterations = 120
    # Seconds that Ray and the driver take on top of the delay of an answer.
    config.overhead = 0.015

    conditions.add_belief(config)

    # The interval code that follows p.
    config.redesign_every = 10  # iterations
    config.memory = 100.0  # iterations that the estimate of p remembers

    # The end of a run, which stops at a tenth of the target.
    config.target = 0.01  # of the gap L − L* at the start
    config.seconds = 30.0
    config.most_iterations = 5000
    return config


def check(config: ConfigDict) -> None:
    """Raises before any work what would fail later.

    Raises:
        ValueError: a value is not accepted; names the key, the value and what is.
    """
    conditions.check_belief(config)
    require_several(config, "schemes", NAMES.__contains__, f"of {listed(NAMES)}")
    require_counts(
        config,
        "num_workers",
        "num_partitions",
        "num_examples",
        "dimension",
        "num_seeds",
        "most_iterations",
        "redesign_every",
        "rehearsals",
        "rehearsal_iterations",
    )
    for key in ("time_unit", "psi_min", "trace_scale", "seconds"):
        require(config, key, lambda value: 0 < value < math.inf, "above 0")
    for key in ("step_sizes", "deadlines"):
        require_several(config, key, lambda value: 0 < value < math.inf, "above 0")
    require(config, "least_scale", lambda value: 0 < value <= 1, "in (0, 1]")
    require_several(
        config,
        "replications",
        lambda value: value >= 1,
        "at least 1",
    )
    require(
        config,
        "replications",
        lambda values: min(values) <= config.num_workers,
        f"one of at most num_workers = {config.num_workers}",
    )
    for key in ("compute", "diversity"):
        require(config, key, lambda value: 0 <= value < math.inf, "at least 0")
    require(
        config,
        "overhead",
        lambda value: 0 <= value < min(config.deadlines) * config.time_unit,
        "at least 0 and below the least of deadlines · time_unit",
    )
    require(config, "target", lambda value: 0 < value < 1, "between 0 and 1")
    require(config, "memory", lambda value: value > 1, "above 1")
    require(config, "psi_max", lambda value: value >= config.psi_min, "≥ psi_min")
