"""One worker: its partitions, a compiled message function, and one task at a time.

Nothing here knows of Ray; `jgc.distributed._pool` makes an actor of it.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from jgc.distributed._messages import Answer
from jgc.training._simulated import Examples, Loss, Params, coded_gradient


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all workers of a run share.

    Attributes:
        loss: `loss(params, examples)`, the losses of the examples, each its own.
        params: the parameters' structure, a pytree of `jax.ShapeDtypeStruct`.
        num_examples: N over all partitions; the objective is the mean loss.
        chunk_size: examples in one pass; None: all. A worker drops a task that was
            overtaken between chunks, and never in the middle of one.
    """

    loss: Loss
    params: Params
    num_examples: int
    chunk_size: int | None = None


class Worker:
    """Computes messages; told of newer parameters, drops what it has not yet begun."""

    def __init__(self) -> None:
        """Without data: `setup` brings it."""
        self._newest = 0
        self._news = threading.Condition()

    def setup(
        self,
        work: Work,
        delays: Float[np.ndarray, " T"] | None,
        *partitions: Examples,
    ) -> None:
        """Takes its partitions and compiles; may be called again for another run.

        Args:
            work: of the run.
            delays: seconds to sleep before the task of iteration t, at (t − 1) mod T:
                a slow machine for experiments. None: it works at once.
            partitions: D_j of each of the worker's edges, in their order.
        """
        self._delays = delays
        self._message = message_function(work, len(partitions))
        self._chunks = list(_chunks(partitions, work.chunk_size))
        size, dtype = vector_of(work.params)
        zeros = np.zeros(size, dtype)
        self._compute(zeros, np.zeros(len(partitions), np.float32), lambda: False)

    def work(
        self,
        round: int,
        iteration: int,
        params: Float[np.ndarray, " size"],
        coefficients: Float[np.ndarray, " b"],
    ) -> Answer | None:
        """The message for these parameters, or None if newer ones came in the meantime.

        Args:
            round: of the pool; greater for newer parameters.
            iteration: of the run, from 1.
            params: as one vector.
            coefficients: a_ij of the worker's edges.
        """

        def is_overtaken() -> bool:
            return self._newest > round

        if self._delays is not None:
            seconds = float(self._delays[(iteration - 1) % len(self._delays)])
            with self._news:
                self._news.wait_for(is_overtaken, timeout=seconds)
        result = self._compute(params, coefficients, is_overtaken)
        return None if result is None else Answer(*result)

    def skip_to(self, round: int) -> None:
        """Drops tasks of earlier rounds; called from another thread than `work`."""
        with self._news:
            self._newest = max(self._newest, round)
            self._news.notify_all()

    def _compute(
        self,
        params: Float[np.ndarray, " size"],
        coefficients: Float[np.ndarray, " b"],
        is_overtaken: Callable[[], bool],
    ) -> tuple[Float[np.ndarray, " size"], Float[np.ndarray, " b"]] | None:
        vector = jnp.asarray(params)
        total: Any = None
        for chunk in self._chunks:
            if is_overtaken():
                return None
            part = self._message(vector, coefficients, *chunk)
            total = part if total is None else _add(total, part)
            jax.block_until_ready(total)
        if total is None:  # its partitions are empty
            return np.zeros_like(params), np.zeros_like(coefficients)
        message, losses = total
        return np.asarray(message), np.asarray(losses)


@functools.partial(jax.jit, donate_argnums=0)
def _add(total: Any, part: Any) -> Any:
    return jax.tree.map(jnp.add, total, part)


def message_function(
    work: Work, num_partitions: int
) -> Callable[..., tuple[Float[Array, " size"], Float[Array, " b"]]]:
    """A jit-compiled `message(params, a, examples, partition, is_real)`.

    A chunk's Σ_j a_ij g_j and the sum of its losses in each of the worker's partitions,
    in one forward and one backward pass. The coefficients are an argument: a code that
    was re-designed needs no compilation.
    """
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), work.params)
    _, unravel = ravel_pytree(zeros)

    @jax.jit
    def message(
        params: Float[Array, " size"],
        coefficients: Float[Array, " b"],
        examples: Examples,
        partition: Int[Array, " m"],
        is_real: Bool[Array, " m"],
    ) -> tuple[Float[Array, " size"], Float[Array, " b"]]:
        weights = coefficients[partition] / work.num_examples
        gradient, each = coded_gradient(
            work.loss, unravel(params), examples, jnp.where(is_real, weights, 0)
        )
        of_partition = jax.ops.segment_sum(
            jnp.where(is_real, each, 0), partition, num_partitions
        )
        return ravel_pytree(gradient)[0], of_partition

    return message


def vector_of(params: Params) -> tuple[int, np.dtype]:
    """Size and precision of the parameters as one vector."""
    vector = jax.eval_shape(lambda tree: ravel_pytree(tree)[0], params)
    return vector.size, vector.dtype


def _chunks(
    partitions: tuple[Examples, ...], chunk_size: int | None
) -> Iterator[tuple[Examples, Int[Array, " m"], Bool[Array, " m"]]]:
    """The worker's examples in equal chunks, on the device.

    The tail repeats real examples, so that no loss meets input of a kind that it never
    sees; they are marked as not real.
    """
    sizes = [jax.tree.leaves(part)[0].shape[0] for part in partitions]
    total = sum(sizes)
    if total == 0:
        return
    examples = jax.tree.map(lambda *leaves: np.concatenate(leaves), *partitions)
    partition = np.repeat(np.arange(len(sizes)), sizes)
    size = min(chunk_size or total, total)
    for start in range(0, total, size):
        rows = np.arange(start, start + size)
        here = rows % total
        yield jax.device_put(
            (
                jax.tree.map(lambda leaf, rows=here: leaf[rows], examples),
                partition[here].astype(np.int32),
                rows < total,
            )
        )
