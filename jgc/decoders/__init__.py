"""Decoders: from who answered to what each worker's message is multiplied by."""

from jgc.decoders.decoder import Decoder, coefficients
from jgc.decoders.fixed import fixed
from jgc.decoders.graph import graph
from jgc.decoders.least_squares import least_squares
from jgc.decoders.representative import representative
from jgc.decoders.second_moment import second_moment_weights

__all__ = [
    "Decoder",
    "coefficients",
    "fixed",
    "graph",
    "least_squares",
    "representative",
    "second_moment_weights",
]
