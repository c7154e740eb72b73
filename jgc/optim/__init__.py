"""Optimizers for coded gradients, as optax transformations.

    optimizer = jgc.optim.coded_sgd(plan, 0.1)
    updates, state = optimizer.update(messages, state, params, answered=answered)
    updates, state = optimizer.update(gradient, state, params)  # decoded already

`messages` have a leading axis over the k workers, `gradient` is what
`jgc.training.coded_gradient` or `plan.decode` return. Any optax optimizer follows
`decode`: `optax.chain(decode(plan), optax.lion(1e-4))`. With mini-batches (C.4.1)
nothing changes: encode the gradients of the batches.

Adam, AdamW, RMSProp and whatever else divides by a second moment have a form with two
tracks, `two_track`, whose second moment is taken of a gradient decoded by other weights
(42). Lion, sign descent and SGD have no second moment, so nothing to put there.

Wrappers such as `optax.apply_if_finite` and `optax.MultiSteps` return updates shaped as
those they are given: they go around a decoded gradient,
`optax.chain(decode(plan), optax.apply_if_finite(optax.adam(1e-3), 5))`.
`optax.multi_transform` goes around messages if each of its groups begins with `decode`;
one that does not, such as `optax.set_to_zero()`, would leave messages as updates. Put
`decode` before it then: `optax.chain(decode(plan), optax.multi_transform(…))`.
"""

from jgc.optim._aliases import (
    coded_sgd,
    two_track_adam,
    two_track_adamw,
    two_track_rmsprop,
)
from jgc.optim._clipping import clip_partitions
from jgc.optim._coding import decode, encode
from jgc.optim._second_track import (
    second_moment_ratio,
    two_track_coefficients,
    two_track_weights,
    with_second_track,
)
from jgc.optim._two_track import TwoTrackState, scale_by_two_track_adam, two_track

__all__ = [
    "TwoTrackState",
    "clip_partitions",
    "coded_sgd",
    "decode",
    "encode",
    "scale_by_two_track_adam",
    "second_moment_ratio",
    "two_track",
    "two_track_adam",
    "two_track_adamw",
    "two_track_coefficients",
    "two_track_rmsprop",
    "two_track_weights",
    "with_second_track",
]
