"""E‖g − ĝ‖², the residual error of a plan: one result type for every method."""

from jgc.residual._decoded import DecodedMoments, decoded_moments
from jgc.residual._enumeration import enumerate_masks
from jgc.residual._exact import ResidualBounds, bias, bounds, exact, unbiased_floor
from jgc.residual._monte_carlo import monte_carlo
from jgc.residual._result import ResidualError

__all__ = [
    "DecodedMoments",
    "ResidualBounds",
    "ResidualError",
    "bias",
    "bounds",
    "decoded_moments",
    "enumerate_masks",
    "exact",
    "monte_carlo",
    "unbiased_floor",
]
