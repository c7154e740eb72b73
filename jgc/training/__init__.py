"""Coded training steps for a user's own loss, and what keeps a run safe."""

from jgc.training.placement import balance, device_coefficients
from jgc.training.precision import compute_in
from jgc.training.simulated import TrainState, coded_gradient, init_state, make_step
from jgc.training.spmd import make_spmd_step, place_state
from jgc.training.spread import SpreadExamples, spread

__all__ = [
    "SpreadExamples",
    "TrainState",
    "balance",
    "coded_gradient",
    "compute_in",
    "device_coefficients",
    "init_state",
    "make_spmd_step",
    "make_step",
    "place_state",
    "spread",
]
