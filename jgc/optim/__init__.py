"""Optimizers for coded gradients, as optax transformations.

    optimizer = jgc.optim.coded_sgd(plan, 0.1)
    updates, state = optimizer.update(messages, state, params, answered=answered)
    updates, state = optimizer.update(gradient, state, params)  # decoded already

`messages` have a leading axis over the k workers; a gradient is what `jgc.decode` and
`jgc.training.coded_gradient` return. Any optax optimizer follows `decode`:
`optax.chain(decode(plan), optax.lion(1e-4))`. With mini-batches (C.4.1) nothing
changes: encode the gradients of the batches.

Adam, AdamW, RMSProp and whatever else divides by a second moment have a form with two
tracks, `two_track`, whose second moment is taken of a gradient decoded by other weights
(42). A decoder of two tracks gives both as one value, `Tracks`, in the place of each
parameter's gradient, so that a chain before `two_track` acts on both:

    optax.chain(
        decode(plan, jgc.decoders.two_track(plan)),
        optax.clip_by_global_norm(1.0),     # of both tracks together; one factor
        scale_by_two_track_adam(),
        optax.scale_by_learning_rate(1e-3),
    )

`optax.masked` and `optax.multi_transform` go around either; groups whose optimizer
takes one gradient, `optax.set_to_zero()` among them, begin with `first_track()`. Lion,
sign descent and SGD have no second moment, so nothing to put there.

Wrappers that give what they are given, or keep gradients in the shape of parameters,
such as `optax.apply_if_finite` and `optax.MultiSteps`, go around a decoded gradient and
not around messages or `Tracks`:
`optax.chain(decode(plan), optax.apply_if_finite(optax.adam(1e-3), 5))`.
`optax.inject_hyperparams` takes every transformation here; decoders are no schedules,
so that it needs `static_args="decoder"` where one is passed.
"""

from jgc.optim._aliases import (
    coded_sgd,
    two_track_adam,
    two_track_adamw,
    two_track_rmsprop,
)
from jgc.optim._clipping import clip_partitions
from jgc.optim._coding import decode, encode
from jgc.optim._second_track import second_moment_ratio
from jgc.optim._tracks import Tracks, checked_update, first_track
from jgc.optim._two_track import TwoTrackState, scale_by_two_track_adam, two_track

__all__ = [
    "Tracks",
    "TwoTrackState",
    "checked_update",
    "clip_partitions",
    "coded_sgd",
    "decode",
    "encode",
    "first_track",
    "scale_by_two_track_adam",
    "second_moment_ratio",
    "two_track",
    "two_track_adam",
    "two_track_adamw",
    "two_track_rmsprop",
]
