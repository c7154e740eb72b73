"""Coded training steps for a user's own loss, and what keeps a run safe."""

from jgc.training._partitions import Batch, Partitions, partitioned
from jgc.training._placement import balance, device_coefficients
from jgc.training._precision import compute_in
from jgc.training._reader import Reader, open_reader
from jgc.training._simulated import TrainState, coded_gradient, init_state, make_step
from jgc.training._sources import Arrays, DataSource, arrays
from jgc.training._spmd import make_spmd_step, place_state
from jgc.training._spread import SpreadExamples, spread

__all__ = [
    "Arrays",
    "Batch",
    "DataSource",
    "Partitions",
    "Reader",
    "SpreadExamples",
    "TrainState",
    "arrays",
    "balance",
    "coded_gradient",
    "compute_in",
    "device_coefficients",
    "init_state",
    "make_spmd_step",
    "make_step",
    "open_reader",
    "partitioned",
    "place_state",
    "spread",
]
