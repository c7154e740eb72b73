"""Coded training steps for a user's own loss, and what keeps a run safe."""

from jgc.training.simulated import TrainState, coded_gradient, init_state, make_step

__all__ = ["TrainState", "coded_gradient", "init_state", "make_step"]
