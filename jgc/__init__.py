"""Gradient coding for JAX: training that does not wait for its slowest worker.

    import jgc

    plan = jgc.codes.interval(p, num_partitions=10)   # who computes what
    messages = plan.encode(gradients)                 # (n, …) → (k, …)
    gradient = plan.decode(messages, mask)            # without the late workers
    error = jgc.residual.exact(plan).mean             # E‖g − ĝ‖²

The core is `CodingPlan`, `codes`, `decoders`, `residual` and `stragglers`. Imported by
name (`import jgc.optim`): `jgc.training`, coded steps for a user's own loss;
`jgc.optim`, optax transformations; `jgc.diagnostics`, numbers and pictures of a plan;
`jgc.plan_file`; `jgc.adviser`, `jgc.deadline` and `jgc.redesign`, what to choose;
`jgc.theory`, bounds on convergence; `jgc.distributed` and `jgc.detection`, extras.
"""

from jgc import codes, decoders, residual, stragglers
from jgc._plan import CodingPlan

__all__ = ["CodingPlan", "codes", "decoders", "residual", "stragglers"]
