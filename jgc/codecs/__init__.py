"""Messages in fewer bits: pure JAX, by key, each with the error that it adds.

    codec = jgc.codecs.int8()
    encoded = codec.encode(vector, key)          # what travels
    codec.decode(encoded, key, vector.size)      # what the master makes of it

`full` (float32), `bfloat16`, `int8`, `one_bit` and `random_subspace` are unbiased: an
unbiased code stays so, and `added_error` is added to its residual error. `sign` is
biased: paths of training add what a message left out to the worker's next one.
`jgc.training.simulated(…, codec=)` and `jgc.distributed.ray(…, codec=)` use them.
`communication_efficient` is a code of its own: shorter messages, and still exact.
"""

from jgc.codecs._codec import Codec
from jgc.codecs._communication_efficient import (
    CommunicationEfficient,
    communication_efficient,
)
from jgc.codecs._error import added_error
from jgc.codecs._rounding import bfloat16, full, int8, one_bit, sign
from jgc.codecs._subspace import random_subspace

__all__ = [
    "Codec",
    "CommunicationEfficient",
    "added_error",
    "bfloat16",
    "communication_efficient",
    "full",
    "int8",
    "one_bit",
    "random_subspace",
    "sign",
]
