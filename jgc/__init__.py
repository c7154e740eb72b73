"""Gradient coding for JAX: training that does not wait for its slowest worker.

    import jgc

    plan = jgc.codes.interval(p, num_partitions=10)   # who computes what
    messages = plan.encode(gradients)                 # (n, …) → (k, …)
    weights = jgc.decoders.fixed(plan, answered)      # by who answered
    gradient = jgc.decode(messages, weights)          # without the late workers
    error = jgc.residual.exact(plan).relative         # E‖g − ĝ‖²/‖g‖²

The core is `CodingPlan`, `codes`, `decoders`, `gradients`, `residual` and
`stragglers`. Imported by name (`import jgc.training`): `jgc.training`, coded steps for
a user's own loss; `jgc.optim`, optax transformations; `jgc.design`, what to choose and
what to know of a plan; `jgc.theory`, bounds on convergence; `jgc.distributed` and
`jgc.detection`, extras.
"""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from jgc import codes, decoders, gradients, residual, stragglers
from jgc._plan import CodingPlan, decode

if TYPE_CHECKING:
    from jgc.design import advise

#: Of the installed package.
__version__ = version("jgc")

__all__ = [
    "CodingPlan",
    "__version__",
    "advise",
    "codes",
    "decode",
    "decoders",
    "gradients",
    "residual",
    "stragglers",
]


def __getattr__(name: str) -> Any:
    # Half of the library imports `jgc` for its plans alone; the planner can wait.
    if name == "advise":
        from jgc.design import advise

        return advise
    raise AttributeError(f"module 'jgc' has no attribute {name!r}")
