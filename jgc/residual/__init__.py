"""E‖g − ĝ‖², the residual error of a plan: one result type for every method."""

from jgc.residual.decoded import DecodedMoments, decoded_moments
from jgc.residual.enumeration import enumerate_masks
from jgc.residual.exact import ResidualBounds, bias, bounds, exact
from jgc.residual.monte_carlo import monte_carlo
from jgc.residual.result import ResidualError

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
]
