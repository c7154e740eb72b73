"""Gradient coding for JAX: training that does not wait for its slowest worker.

    import jgc

    plan = jgc.codes.interval(p, num_partitions=10)   # who computes what
    messages = plan.encode(gradients)                 # (n, …) → (k, …)
    gradient = plan.decode(messages, mask)            # without the late workers
    error = jgc.residual.exact(plan).mean             # E‖g − ĝ‖²

The core is `CodingPlan`, `codes`, `residual` and `stragglers`; `training` takes a
user's own loss. `jgc.detection` is an extra and is imported by name.
"""

from jgc import codes, residual, stragglers
from jgc.plan import CodingPlan

__all__ = ["CodingPlan", "codes", "residual", "stragglers"]
