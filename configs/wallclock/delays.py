r"""Nine schemes against the clock on processes that sleep like slow machines.

    python -m experiments.wallclock --config=configs/wallclock/delays.py \
        --workdir=runs/wallclock

Needs no data; about seven minutes on 2 cores that do nothing else. With a recorded
trace, a row a round and a column a worker: --config.trace=FILE.csv
--config.trace_scale=0.1. Smaller: --config.num_seeds=1, --config.seconds=10.

Where coding loses: machines that take as long as their work does and hardly vary,
--config.compute=1 --config.psi_min=4 --config.psi_max=8 --config.deadline=2.5. A code
of load 2 then works twice as long to be spared a wait that was short.
"""

from ml_collections import ConfigDict

from experiments.wallclock import schemes as wallclock_schemes


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    config = ConfigDict()
    config.schemes = wallclock_schemes.NAMES
    config.num_workers = 10  # k
    config.num_partitions = 10  # n
    config.num_seeds = 2  # of the machines, and of the random codes
    config.ray_address = ""  # of a Ray cluster; empty: this machine

    # Logistic regression: an iteration's computation takes a millisecond, so that the
    # injected delays decide.
    config.num_examples = 2000
    config.dimension = 20
    config.diversity = 0.5  # of the partitions' own signals, beside a common one of 1
    config.learning_rate = 1.0
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
    config.deadline = 1.5  # τ_th in time units
    # Seconds of a deadline that Ray and the driver take for themselves, when p is
    # worked out from the delays.
    config.overhead = 0.015

    # The adaptive interval code.
    config.redesign_every = 10  # iterations
    config.memory = 100.0  # iterations that the estimate of p remembers

    # The end of a run.
    config.target = 0.01  # of the gap L − L* at the start
    config.seconds = 20.0
    config.most_iterations = 5000
    return config
