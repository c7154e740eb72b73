"""One result type for the residual error, however it was found."""

from typing import NamedTuple


class ResidualError(NamedTuple):
    """E‖g − ĝ‖², the expected squared error of the decoded gradient.

    Attributes:
        mean: the error, in the units of a squared gradient; for partition gradients
            of unit norm where only their similarity was given.
        standard_error: of the mean; 0 unless it was sampled.
        trials: masks that were drawn or enumerated; 0 for a closed form.
        method: "exact", "enumeration" or "monte_carlo".
    """

    mean: float
    standard_error: float
    trials: int
    method: str
