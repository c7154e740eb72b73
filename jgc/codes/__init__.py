"""Gradient codes: each constructor takes p and n and returns a `CodingPlan`."""

from jgc.codes.interval import interval
from jgc.codes.optimal_structure import NegativeCoefficientWarning
from jgc.codes.schemes import scheme_i, scheme_ii
from jgc.codes.uncoded import straggler_free, uncoded

__all__ = [
    "NegativeCoefficientWarning",
    "interval",
    "scheme_i",
    "scheme_ii",
    "straggler_free",
    "uncoded",
]
