"""E‖g − ĝ‖², the residual error of a plan: one result type for every method."""

from jgc.residual.exact import ResidualBounds, bias, bounds, exact
from jgc.residual.monte_carlo import monte_carlo
from jgc.residual.result import ResidualError

__all__ = [
    "ResidualBounds",
    "ResidualError",
    "bias",
    "bounds",
    "exact",
    "monte_carlo",
]
