"""Straggler models: which workers answer in time, and after how many seconds.

Who answers: `bernoulli`, `markov` (bursts), `common_factor` and `shared_shocks`
(together). After how long: `exponential`, `shifted_exponential`, or the `replay` of a
recorded `Trace`; `in_parts` for workers that send each partition's part when it is
done; `at_deadline` makes stragglers of them. `simulate` draws from any of these.
`estimation` goes the other way, from what was seen to p.
Pictures are in `jgc.stragglers.pictures`.
"""

from jgc.stragglers import estimation
from jgc.stragglers._bernoulli import bernoulli, deadline_probabilities
from jgc.stragglers._correlated import common_factor, shared_shocks
from jgc.stragglers._latency import at_deadline, exponential, shifted_exponential
from jgc.stragglers._markov import markov
from jgc.stragglers._model import LatencyModel, Outcomes, StragglerModel
from jgc.stragglers._parts import in_parts
from jgc.stragglers._simulation import simulate
from jgc.stragglers._trace import Trace, replay, trace
from jgc.stragglers._trace_files import load_trace
from jgc.stragglers._under_load import LoadedTrace, slope_of, with_load

__all__ = [
    "LatencyModel",
    "LoadedTrace",
    "Outcomes",
    "StragglerModel",
    "Trace",
    "at_deadline",
    "bernoulli",
    "common_factor",
    "deadline_probabilities",
    "estimation",
    "exponential",
    "in_parts",
    "load_trace",
    "markov",
    "replay",
    "shared_shocks",
    "shifted_exponential",
    "simulate",
    "slope_of",
    "trace",
    "with_load",
]
