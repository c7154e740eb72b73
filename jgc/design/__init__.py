"""What to choose, and what to know of a plan before running it.

`jgc.advise` and `search` answer what coding would save, as `Option`s of a plan, a
decoder and a waiting rule (`rules`); `best_deadline` and `redesign` choose parts of
that, and `replan` is for workers that join and leave. `diagnose`, `draw_plan` and
`draw_error_against_load` show; `save_plan`, `load_plan`, `save_option` and
`load_option` hand on.
"""

from jgc.design import rules
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
from jgc.design._option_file import holds_option, load_option, save_option
from jgc.design._plan_file import load_plan, save_plan
from jgc.design._planner import Option, advise, search
from jgc.design._redesign import redesign
from jgc.design._replan import Replanned, replan
from jgc.design._runnable import Runnable
from jgc.design._sensitivity import Sensitivity, sensitivity

__all__ = [
    "DeadlineCurve",
    "Diagnostics",
    "Optimised",
    "Option",
    "Replanned",
    "Runnable",
    "Sensitivity",
    "advise",
    "best_deadline",
    "deadline_curve",
    "diagnose",
    "draw_deadlines",
    "draw_error_against_load",
    "draw_plan",
    "holds_option",
    "load_option",
    "load_plan",
    "optimise",
    "redesign",
    "replan",
    "rules",
    "save_option",
    "save_plan",
    "search",
    "sensitivity",
    "trace_survival",
]
