"""Waiting rules: when the master stops waiting, given how long each worker takes.

A rule is made for a plan, since workers without data are not waited for: `everyone`,
`first` (backup workers), `deadline`, `relative` (to the round's median), `coverage`
("one of each group") and `error_below`; `earliest` and `latest` combine two. `adaptive`
is a deadline that follows the workers' speed. `play` runs recorded rounds under a rule;
`as_stragglers` draws who is left out.
"""

from jgc.design.rules._adaptive import adaptive
from jgc.design.rules._files import from_json, to_json
from jgc.design.rules._past import MEMORY, Past
from jgc.design.rules._rounds import Rounds, play
from jgc.design.rules._rules import (
    Rule,
    coverage,
    deadline,
    earliest,
    error_below,
    everyone,
    first,
    latest,
    relative,
)
from jgc.design.rules._stragglers import as_stragglers

__all__ = [
    "MEMORY",
    "Past",
    "Rounds",
    "Rule",
    "adaptive",
    "as_stragglers",
    "coverage",
    "deadline",
    "earliest",
    "error_below",
    "everyone",
    "first",
    "from_json",
    "latest",
    "play",
    "relative",
    "to_json",
]
