"""What a worker sends, and whether it may be used."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class Answer(NamedTuple):
    """A worker's message, as one vector, and what goes with it.

    Attributes:
        message: f_i = Σ_j a_ij g_j (4), the leaves of the parameters one after another
            (`jax.flatten_util.ravel_pytree`).
        losses: the mean loss of each of the worker's partitions, in the order of its
            edges.
        outputs: what else the loss gave, leaves (b, …) in the order of the tree: the
            states that each partition made of the model's, and the metrics.
    """

    message: Float[np.ndarray, " size"]
    losses: Float[np.ndarray, " b"]
    outputs: tuple[np.ndarray, ...] = ()


class Expected(NamedTuple):
    """What a sound message looks like.

    Attributes:
        size: of the parameters as one vector.
        dtype: of that vector.
        outputs: shape and dtype of the other outputs of one partition.
    """

    size: int
    dtype: np.dtype
    outputs: tuple[tuple[tuple[int, ...], np.dtype], ...] = ()


def why_rejected(answer: Any, expected: Expected, num_partitions: int) -> str | None:
    """The reason for which an answer must not be decoded; None if it is sound.

    Args:
        answer: anything that came back.
        expected: of the message.
        num_partitions: b_i of the worker.
    """
    if not isinstance(answer, Answer):
        return f"not an answer, but {type(answer).__name__}"
    vectors = (
        ("message", answer.message, expected.size, expected.dtype),
        ("losses", answer.losses, num_partitions, None),
    )
    for name, vector, size, dtype in vectors:
        if not isinstance(vector, np.ndarray) or vector.dtype.kind not in "fV":
            return f"its {name} are {type(vector).__name__}, not an array of floats"
        if vector.shape != (size,):
            return f"its {name} have shape {vector.shape} instead of ({size},)"
        if dtype is not None and vector.dtype != dtype:
            return f"its {name} are {vector.dtype} instead of {dtype}"
        if not all_finite(vector):
            return f"its {name} have entries that are NaN or infinite"
    if not isinstance(answer.outputs, tuple) or [
        (np.shape(leaf), np.result_type(leaf)) for leaf in answer.outputs
    ] != [((num_partitions, *shape), kind) for shape, kind in expected.outputs]:
        return "its other outputs are not of the shapes that the loss gives"
    if not all(all_finite(leaf) for leaf in answer.outputs if leaf.dtype.kind in "fV"):
        return "its other outputs have entries that are NaN or infinite"
    return None


def all_finite(vector: Float[np.ndarray, " size"]) -> bool:
    """Whether no entry is NaN or infinite, in one pass and no memory to speak of."""
    if vector.dtype.kind != "f":  # bfloat16 and its kin have no fast sum
        return bool(np.isfinite(vector).all())
    # A sum is finite unless an entry is not, or large entries overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(vector.sum())) or bool(np.isfinite(vector).all())
