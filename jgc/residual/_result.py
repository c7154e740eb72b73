"""One result type for the residual error, however it was found."""

from typing import NamedTuple


class ResidualError(NamedTuple):
    """E‖g − ĝ‖², the expected squared error of the decoded gradient.

    Attributes:
        mean: the error, in the units of a squared gradient; for partition gradients
            of unit norm where only their similarity was given.
        standard_error: of the mean; 0 unless it was sampled, infinite where the sample
            has too few of the events that carry the error to support one.
        trials: masks that were drawn or enumerated; 0 for a closed form.
        method: "exact", "enumeration" or "monte_carlo".
        squared_norm: ‖g‖² = 1ᵀG1 of the full gradient.
    """

    mean: float
    standard_error: float
    trials: int
    method: str
    squared_norm: float

    @property
    def relative(self) -> float:
        """E‖g − ĝ‖²/‖g‖²."""
        return self.mean / self.squared_norm

    @property
    def relative_standard_error(self) -> float:
        """The standard error of `relative`."""
        return self.standard_error / self.squared_norm
