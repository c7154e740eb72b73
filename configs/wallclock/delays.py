r"""Fourteen schemes against the clock on processes that sleep like slow machines.

    python -m experiments.wallclock --config=configs/wallclock/delays.py \
        --workdir=runs/wallclock

Needs no data; about seven minutes on 2 cores that do nothing else, of which two are the
rehearsal that chooses step sizes, deadlines and how many are waited for. With a
recorded trace, a row a round and a column a worker: --config.trace=FILE.csv
--config.trace_scale=0.1. Smaller: --config.num_seeds=1. On a machine that does other
things, slower machines hide it: --config.time_unit=0.3 --config.seconds=15.

Where coding loses: machines that take as long as their work does and hardly vary,
--config.compute=1 --config.psi_min=4 --config.psi_max=8. A code of load 2 then works
twice as long to be spared a wait that was short.
"""

from ml_collections import ConfigDict

from experiments.wallclock import settings


def get_config() -> ConfigDict:
    """Settings of the experiment."""
    return settings.default()
