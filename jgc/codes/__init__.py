"""Gradient codes: each constructor takes p and n and returns a `CodingPlan`.

Best of the unbiased codes with fixed weights for aligned gradients: `interval` (start
here), `scheme_i`, `scheme_ii`, `sparse`, `dense`; `on_placement` for data already
placed and `reference` for constraints. Exact for few stragglers:
`fractional_repetition`, `cyclic_repetition`. As even as can be, whoever straggles:
`expander`, `margulis`, `block_design`. Random: `bernoulli_placement`, `stochastic`,
`random_graph`, with `placement_report`. Without redundancy: `uncoded`,
`straggler_free`. And `split`: any of them with a message for each partition.
"""

from jgc.codes._bernoulli_placement import bernoulli_placement
from jgc.codes._block_design import block_design
from jgc.codes._cyclic_repetition import cyclic_repetition
from jgc.codes._dense import dense
from jgc.codes._expander import expander, margulis
from jgc.codes._fractional_repetition import fractional_repetition
from jgc.codes._interval import interval
from jgc.codes._on_placement import on_placement
from jgc.codes._optimal_structure import NegativeCoefficientWarning
from jgc.codes._placement_report import PlacementReport, placement_report
from jgc.codes._random_graph import random_graph
from jgc.codes._reference import reference
from jgc.codes._schemes import scheme_i, scheme_ii
from jgc.codes._sparse import sparse
from jgc.codes._split import Split, split
from jgc.codes._stochastic import stochastic
from jgc.codes._uncoded import straggler_free, uncoded

__all__ = [
    "NegativeCoefficientWarning",
    "PlacementReport",
    "Split",
    "bernoulli_placement",
    "block_design",
    "cyclic_repetition",
    "dense",
    "expander",
    "fractional_repetition",
    "interval",
    "margulis",
    "on_placement",
    "placement_report",
    "random_graph",
    "reference",
    "scheme_i",
    "scheme_ii",
    "sparse",
    "split",
    "stochastic",
    "straggler_free",
    "uncoded",
]
