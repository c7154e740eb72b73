"""Decoders: from who answered to what each worker's message is multiplied by."""

from jgc.decoders._as_numpy import as_numpy
from jgc.decoders._best_unbiased import (
    best_unbiased,
    conditional_least_squares,
    trade_off,
)
from jgc.decoders._decoder import Decoder, from_function
from jgc.decoders._fixed import fixed
from jgc.decoders._graph import graph
from jgc.decoders._least_squares import least_squares
from jgc.decoders._mixture import between, mixture
from jgc.decoders._normalised import normalised
from jgc.decoders._one_step import one_step
from jgc.decoders._representative import representative
from jgc.decoders._rescaled import rescaled
from jgc.decoders._second_moment import second_moment_weights
from jgc.decoders._two_track import two_track

__all__ = [
    "Decoder",
    "as_numpy",
    "best_unbiased",
    "between",
    "conditional_least_squares",
    "fixed",
    "from_function",
    "graph",
    "least_squares",
    "mixture",
    "normalised",
    "one_step",
    "representative",
    "rescaled",
    "second_moment_weights",
    "trade_off",
    "two_track",
]
