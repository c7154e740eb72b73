"""The second track of a code where it is a multiple of the first."""

import jax
import numpy as np
from jaxtyping import Array, Float

from jgc import decoders
from jgc._plan import CodingPlan
from jgc.decoders._two_track import shrinkage

# v and w proportional to this are so by design, and differ by rounding.
_ROUNDING = 1e-9


def second_moment_ratio(
    plan: CodingPlan, *, noise_ratio: float | Float[Array, ""] = 1.0
) -> float | Float[Array, ""] | None:
    """κ with v = κ w, or None if the second-moment weights are no multiple of w.

    For codes of optimal structure κ = ΛD/(1 + ΛD) [ours]: then the second track is one
    scalar, at no cost.

    Args:
        plan: the code, on the host.
        noise_ratio: Λ ≥ 0, may be infinite; may be traced, and then κ is.

    Raises:
        ValueError: a negative or NaN Λ.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.5, 0.5], num_partitions=2)  # D = 2
        >>> round(second_moment_ratio(plan, noise_ratio=1.0), 6)
        0.666667
    """
    if isinstance(noise_ratio, jax.core.Tracer):
        # v of every Λ is a multiple of v at ∞.
        limit = second_moment_ratio(plan, noise_ratio=np.inf)
        return None if limit is None else limit * shrinkage(plan, noise_ratio)
    w = np.asarray(plan.weights, np.float64)
    v = decoders.second_moment_weights(plan, noise_ratio=float(noise_ratio))
    # A worker without data, or that never answers, contributes to neither.
    counts = (plan.batch_sizes > 0) & (np.asarray(plan.straggler_probabilities) < 1)
    w, v = w[counts], v[counts]
    if w.size == 0:
        return None
    largest = np.argmax(np.abs(w))
    if w[largest] == 0:
        return None
    ratio = v[largest] / w[largest]
    is_multiple = (np.abs(v - ratio * w) <= _ROUNDING * np.abs(ratio * w)).all()
    return float(ratio) if is_multiple else None
