"""Decoding weights for who has no use for JAX arrays: another runtime's aggregation."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from jgc._plan import CodingPlan, check_answered
from jgc.decoders._decoder import Decoder, weights_of


def as_numpy(
    decoder: Decoder, plan: CodingPlan
) -> Callable[[ArrayLike], Float[np.ndarray, "..."]]:
    """A function of who answered, NumPy in and NumPy out.

    For servers that add messages up themselves, such as a strategy of Flower or
    tensors of PyTorch: the sum of `weights[i]` times the message of worker i over those
    who answered is the decoded gradient. Compiled once for each shape of mask; it can
    be pickled. In a process whose accelerator belongs to the other runtime, set
    JAX_PLATFORMS=cpu before JAX is imported, or JAX takes memory there.

    Args:
        decoder: of this package.
        plan: the code.

    Returns:
        `weights(answered)`, of booleans (k, *trials) that may be a list, to weights of
        that shape, 0 for who did not answer, a writable array; of a decoder of two
        tracks (2, k, *trials). float32, or float64 where JAX's 64 bits are enabled.

    Raises:
        ValueError: the decoder cannot decode the plan, or is none; in use, what is no
            mask of its workers.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.fractional_repetition(
        ...     [0.1] * 4, num_partitions=4, replication=2
        ... )
        >>> weights = as_numpy(jgc.decoders.representative, plan)
        >>> messages = {0: [1.5, 0.5], 3: [2.0, 2.0]}  # of any runtime
        >>> v = weights([i in messages for i in range(4)])
        >>> sum(v[i] * np.array(message) for i, message in messages.items()).tolist()
        [3.5, 2.5]
    """
    if not isinstance(decoder, Decoder):
        raise ValueError(f"decoder must be of jgc.decoders, got {decoder!r}")
    decoder.check(plan)
    return partial(_numpy_weights, decoder, plan)


def _numpy_weights(
    decoder: Decoder, plan: CodingPlan, answered: ArrayLike
) -> Float[np.ndarray, "..."]:
    mask = check_answered(np.asarray(answered), plan.num_workers)
    return np.array(weights_of(decoder, plan, mask))
