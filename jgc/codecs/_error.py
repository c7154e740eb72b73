"""The residual error that messages in fewer bits add to a code's."""

import numpy as np

from jgc._plan import CodingPlan
from jgc.codecs._codec import Codec
from jgc.gradients import GradientsLike, as_gradients
from jgc.residual import ResidualError


def added_error(
    plan: CodingPlan,
    codec: Codec,
    *,
    size: int,
    gradients: GradientsLike | None = None,
) -> ResidualError:
    """Σ_i (1 − p_i) w_i² ω ‖f_i‖², what an unbiased codec adds to `residual.exact`.

    Given who answers, the codecs' errors have mean 0 and are independent of one another
    [ours], so that they add up and Cov(I) is of no matter: workers may straggle
    together. For fixed weights; ‖f_i‖² = (A G Aᵀ)_ii.

    Args:
        plan: the code.
        codec: unbiased, with a `relative_variance`.
        size: d, entries of a message.
        gradients: as in `jgc.residual.exact`.

    Raises:
        ValueError: a codec that is biased, or whose error depends on the message: its
            `expected_error` gives that of each.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.5], num_partitions=2, unbiased=True)
        >>> codec = jgc.codecs.random_subspace(2)
        >>> added_error(plan, codec, size=10, gradients=0.0).mean
        4.0
    """
    omega = codec.relative_variance(size)
    if omega is None or not codec.is_unbiased:
        raise ValueError(
            "codec must be unbiased and have a relative_variance, such as "
            f"random_subspace with a factor that divides {size}, got {codec!r}; "
            "codec.expected_error gives that of a message"
        )
    n = plan.num_partitions
    model = as_gradients(gradients, n)
    p = np.asarray(plan.straggler_probabilities, np.float64)
    w = np.asarray(plan.weights, np.float64)
    factors = plan.encoding_matrix() @ model.factor(n)
    norms = (factors**2).sum(axis=1)
    return ResidualError(
        mean=float(omega * ((1 - p) * w**2 * norms).sum()),
        standard_error=0.0,
        trials=0,
        method="exact",
        squared_norm=model.squared_norm(n),
    )
