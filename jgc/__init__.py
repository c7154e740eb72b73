"""Gradient coding for JAX: training that does not wait for its slowest worker.

    import jgc

    plan = jgc.codes.interval(p, num_partitions=10)   # who computes what
    messages = plan.encode(gradients)                 # (n, …) → (k, …)
    weights = jgc.decoders.fixed(plan, answered)      # by who answered
    gradient = jgc.decode(messages, weights)          # without the late workers
    error = jgc.residual.exact(plan).relative         # E‖g − ĝ‖²/‖g‖²

The core is `CodingPlan`, `codes`, `decoders`, `gradients`, `residual` and
`stragglers`. Imported when first used: `jgc.training`, coded steps for a user's own
loss; `jgc.optim`, optax transformations; `jgc.design`, what to choose and what to know
of a plan; `jgc.theory`, bounds on convergence; `jgc.codecs`, smaller messages;
`jgc.distributed`, processes, with the extra. Imported by name: `jgc.detection`, extras.
"""

from importlib import import_module
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


_LATER = {"codecs", "design", "distributed", "optim", "theory", "training"}


def __getattr__(name: str) -> Any:
    # Half of the library imports `jgc` for its plans alone; the rest can wait.
    if name in _LATER:
        return import_module(f"jgc.{name}")
    if name == "advise":
        return import_module("jgc.design").advise
    raise AttributeError(f"module 'jgc' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER})
