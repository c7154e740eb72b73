"""What the adviser assumes; every value can be overridden on the command line.

    python -m experiments.advise --trace=latencies.csv --config.capacity=0.02

Takes seconds for a trace of some thousand answers.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Settings of the adviser."""
    config = ConfigDict()
    config.missing_is_late = False  # empty cells are answers that never came
    config.deadline = 0.0  # τ in seconds; 0: the one of least time to accuracy
    config.overhead = 0.0  # seconds an iteration costs beside waiting
    config.prior = "fitted"  # of p at the deadline: fitted to all workers, or jeffreys
    # The largest share of the data that a worker may hold, no more than in the trace;
    # 0: twice an even share.
    config.capacity = 0.0
    config.num_partitions = ()  # n to compare; (): k, 2k, 4k and 8k
    # The part of ‖g‖² that all partitions' gradients have in common; 1 is Theorem 2.
    config.common_part = 0.5
    config.level = 0.95  # of intervals
    config.permutations = 999  # of the tests of fit
    config.seed = 0  # of the tests of fit
    return config
