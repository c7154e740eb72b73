"""What a worker sends, in two parts, and whether it may be used.

The message is large and stays where it was made until it is known who is decoded; the
header tells the driver of it at once.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

# Of a message: the leaves of what its codec gives.
Leaves = tuple[np.ndarray, ...]


class Answer(NamedTuple):
    """A worker's message and what goes with it.

    Attributes:
        message: f_i = Σ_j a_ij g_j (4) as one vector
            (`jax.flatten_util.ravel_pytree`), as its codec encodes it.
        losses: the mean loss of each of the worker's partitions, in the order of its
            edges.
        outputs: what else the loss gave, leaves (b, …) in the order of the tree: the
            states that each partition made of the model's, and the metrics.
        computed: seconds that the worker spent on it.
    """

    message: Leaves
    losses: Float[np.ndarray, " b"]
    outputs: tuple[np.ndarray, ...] = ()
    computed: float = 0.0


class Header(NamedTuple):
    """An `Answer` without its message.

    Attributes:
        kinds: shape and dtype of each leaf of the message.
        losses: see `Answer`.
        outputs: see `Answer`.
        computed: see `Answer`.
    """

    kinds: tuple[tuple[tuple[int, ...], np.dtype], ...]
    losses: Float[np.ndarray, " b"]
    outputs: tuple[np.ndarray, ...]
    computed: float


class Expected(NamedTuple):
    """What a sound answer looks like.

    Attributes:
        message: shape and dtype of each leaf of a message.
        outputs: shape and dtype of the other outputs of one partition.
    """

    message: tuple[tuple[tuple[int, ...], np.dtype], ...]
    outputs: tuple[tuple[tuple[int, ...], np.dtype], ...] = ()

    @property
    def message_bytes(self) -> int:
        """Of one message."""
        return sum(int(np.prod(s)) * kind.itemsize for s, kind in self.message)


def in_parts(answer: Any) -> tuple[Any, Any]:
    """The header, and the message; of what is no answer, itself and None."""
    if not isinstance(answer, Answer):
        return answer, None
    message = answer.message
    kinds = tuple((np.shape(leaf), np.asarray(leaf).dtype) for leaf in message)
    return Header(kinds, answer.losses, answer.outputs, answer.computed), message


def why_rejected(header: Any, expected: Expected, num_partitions: int) -> str | None:
    """The reason for which an answer must not be decoded; None if there is none yet.

    Args:
        header: anything that came back.
        expected: of the answer.
        num_partitions: b_i of the worker.
    """
    if not isinstance(header, Header):
        return f"not an answer, but {type(header).__name__}"
    if header.kinds != expected.message:
        return f"its message is {_words(header.kinds)}, not {_words(expected.message)}"
    losses = header.losses
    if not isinstance(losses, np.ndarray) or losses.dtype.kind not in "fV":
        return f"its losses are {type(losses).__name__}, not an array of floats"
    if losses.shape != (num_partitions,):
        return f"its losses have shape {losses.shape} instead of ({num_partitions},)"
    if not all_finite(losses):
        return "its losses have entries that are NaN or infinite"
    if not isinstance(header.outputs, tuple) or [
        (np.shape(leaf), np.result_type(leaf)) for leaf in header.outputs
    ] != [((num_partitions, *shape), kind) for shape, kind in expected.outputs]:
        return "its other outputs are not of the shapes that the loss gives"
    if not all(map(all_finite, header.outputs)):
        return "its other outputs have entries that are NaN or infinite"
    return None


def why_unusable(message: Any, expected: Expected) -> str | None:
    """The same of a message itself: it need not be what its header says, or finite."""
    if not isinstance(message, tuple) or not all(
        isinstance(leaf, np.ndarray) for leaf in message
    ):
        return f"its message is no tuple of arrays, but {type(message).__name__}"
    kinds = tuple((leaf.shape, leaf.dtype) for leaf in message)
    if kinds != expected.message:
        return f"its message is {_words(kinds)}, not {_words(expected.message)}"
    if not all(map(all_finite, message)):
        return "its message has entries that are NaN or infinite"
    return None


def all_finite(vector: Float[np.ndarray, "..."]) -> bool:
    """Whether no entry is NaN or infinite, in one pass and no memory to speak of."""
    if vector.dtype.kind not in "fcV":  # integers are
        return True
    if vector.dtype.kind != "f":  # bfloat16 and its kin have no fast sum
        return bool(np.isfinite(vector).all())
    # A sum is finite unless an entry is not, or large entries overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(vector.sum())) or bool(np.isfinite(vector).all())


def _words(kinds: tuple[tuple[tuple[int, ...], np.dtype], ...]) -> str:
    return " and ".join(f"{kind} of shape {shape}" for shape, kind in kinds)
