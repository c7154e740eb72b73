"""What to choose, and what to know of a plan before running it.

`best_deadline`, `advise` and `redesign` choose; `diagnose`, `draw_plan` and
`draw_error_against_load` show; `save_plan` and `load_plan` hand a plan on.
"""

from jgc.design._adviser import Advice, Option, advise
from jgc.design._deadline import (
    DeadlineCurve,
    best_deadline,
    deadline_curve,
    draw_deadlines,
    trace_survival,
)
from jgc.design._diagnostics import (
    Diagnostics,
    diagnose,
    draw_error_against_load,
    draw_plan,
)
from jgc.design._optimise import Optimised, optimise
from jgc.design._plan_file import load_plan, save_plan
from jgc.design._redesign import redesign

__all__ = [
    "Advice",
    "DeadlineCurve",
    "Diagnostics",
    "Optimised",
    "Option",
    "advise",
    "best_deadline",
    "deadline_curve",
    "diagnose",
    "draw_deadlines",
    "draw_error_against_load",
    "draw_plan",
    "load_plan",
    "optimise",
    "redesign",
    "save_plan",
    "trace_survival",
]
