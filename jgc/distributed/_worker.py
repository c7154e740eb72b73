"""One process: its partitions, a compiled message function, and one task at a time.

Nothing here knows of Ray; `jgc.distributed._pool` makes an actor of it.
"""

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, Int

from jgc.codecs import Codec
from jgc.distributed._encoding import Messages
from jgc.distributed._messages import Answer, in_parts
from jgc.distributed.faults import Fault
from jgc.training import Batch, Loss, Partitions, coded_gradient
from jgc.training._feed import Feed
from jgc.training._loss import ModelState, Params
from jgc.training._messages import message_key
from jgc.training._state import run_keys


@dataclass(frozen=True, kw_only=True)
class Work:
    """What all workers of a run share.

    Attributes:
        loss: of the user.
        params: the parameters' structure, a pytree of `jax.ShapeDtypeStruct`.
        codec: of the messages.
        model_state: the structure of the model's state; () where it has none.
        chunk_size: examples in one pass; None: all. A worker drops a task that was
            overtaken between passes, and never in the middle of one.
    """

    loss: Loss
    params: Params
    codec: Codec
    model_state: ModelState = ()
    chunk_size: int | None = None


@dataclass(frozen=True)
class Question:
    """What a round's messages are asked for with.

    Attributes:
        params: leaves as NumPy arrays.
        model_state: of the model, the same.
        key: of the run, `jax.random.key_data`.
        iteration: from 0.
        decoded_in: the last round of the pool in which each worker's message was
            decoded (k,); −1 for none.
    """

    params: Params
    model_state: ModelState
    key: np.ndarray
    iteration: int
    decoded_in: Int[np.ndarray, " k"]


class Worker:
    """Computes messages; told of newer parameters, drops what it has not yet begun.

    Of one of the plan's workers, or of several whose tasks it gets one after another.
    """

    def __init__(self) -> None:
        """Without work and data: `prepare` and `take` bring them."""
        self._newest = 0
        self._news = threading.Condition()
        self._feed: Feed | None = None
        self._batch: tuple[int, Batch] | None = None
        self._rows: dict[int, Int[np.ndarray, " b"]] = {}

    def prepare(self, work: Work) -> None:
        """Makes what computes messages, of any partitions; drops those it has."""
        self.release()
        self._message, self._chunk_size = message_function(work), work.chunk_size
        self._messages = Messages(work.codec)
        params, state = jax.tree.map(
            lambda s: np.zeros(s.shape, s.dtype), (work.params, work.model_state)
        )
        self._blank = Question(params, state, np.zeros(0), 0, np.zeros(0))

    def take(
        self,
        delays: Float[np.ndarray, "T m"] | None,
        data: Partitions,
        key: np.ndarray,
        *,
        rows: Mapping[int, Int[np.ndarray, " b"]],
        faults: Sequence[Fault] = (),
    ) -> None:
        """Takes these partitions; once prepared, and as often as they change.

        Args:
            delays: seconds to sleep before the task of iteration t, at t mod T: a slow
                machine for experiments. None: it works at once.
            data: the partitions of its workers; it reads them itself.
            key: of the run.
            rows: which of these each of its m workers has, in the order of its edges,
                by the worker's number.
            faults: that befall them, for tests.
        """
        self.release()
        self._delays, self._faults = delays, faults
        self._feed, self._rows = Feed(data), dict(rows)
        self._messages.forget()
        self._per_call = max(own.size for own in rows.values())
        if self._chunk_size is not None:
            at_once = max(1, self._chunk_size // data.batch_size)
            self._per_call = min(self._per_call, at_once)
        self._key, self._words = jax.random.wrap_key_data(jnp.asarray(key)), key

    def compile(self) -> None:
        """Computes a message once, for its largest worker, so that all is compiled."""
        most = max(self._rows, key=lambda number: self._rows[number].size)
        question = dataclasses.replace(
            self._blank, key=self._words, decoded_in=np.full(most + 1, -1)
        )
        coefficients = np.zeros(self._rows[most].size, np.float32)
        self._compute(0, question, coefficients, most, lambda: False)
        self._messages.forget()

    def release(self) -> None:
        """Drops its partitions."""
        if self._feed is not None:
            self._feed.close()
        self._feed, self._batch, self._rows = None, None, {}

    def work(
        self,
        round: int,
        question: Question,
        coefficients: Float[np.ndarray, " b"],
        number: int,
    ) -> tuple[Any, Any]:
        """The header and the message for these parameters, see `in_parts`.

        None and None if newer ones came in the meantime.

        Args:
            round: of the pool; greater for newer parameters.
            question: of the round.
            coefficients: a_ij of the worker's edges.
            number: i of the worker, one of those hosted.
        """
        began = time.perf_counter()

        def is_overtaken() -> bool:
            return self._newest > round

        def wait(seconds: float) -> None:
            with self._news:
                self._news.wait_for(is_overtaken, timeout=seconds)

        if self._delays is not None:
            row = self._delays[question.iteration % len(self._delays)]
            wait(float(row[list(self._rows).index(number)]))
        struck = number, question.iteration
        faults = [f for f in self._faults if (f.worker, f.iteration) == struck]
        for fault in faults:
            fault.before(wait)
        answer: Any = self._compute(round, question, coefficients, number, is_overtaken)
        if answer is not None:
            answer = answer._replace(computed=time.perf_counter() - began)
        for fault in faults:
            answer = fault.after(answer)
        return in_parts(answer)

    def skip_to(self, round: int) -> None:
        """Drops tasks of earlier rounds; called from another thread than `work`."""
        with self._news:
            self._newest = max(self._newest, round)
            self._news.notify_all()

    def _compute(
        self,
        round: int,
        question: Question,
        coefficients: Float[np.ndarray, " b"],
        number: int,
        is_overtaken: Callable[[], bool],
    ) -> Answer | None:
        if not np.array_equal(question.key, self._words):  # a state of another run
            self._key = jax.random.wrap_key_data(jnp.asarray(question.key))
            self._words, self._batch = question.key, None
            self._messages.forget()
        if is_overtaken():
            return None
        batch = self._read(question.iteration)
        of_loss, of_message = _keys(self._key, question.iteration, number)
        total: Any = None
        outputs = []
        held = self._rows[number]
        for start in range(0, held.size, self._per_call):
            if is_overtaken():
                return None
            # Equal passes: the last begins earlier, and what it repeats counts as 0.
            first = min(start, max(held.size - self._per_call, 0))
            at = np.arange(first, first + self._per_call)
            own = (at >= start) & (at < held.size)
            rows = at % held.size
            part, *seen = self._message(
                question.params,
                question.model_state,
                of_loss,
                jax.tree.map(lambda leaf, rows=held[rows]: leaf[rows], batch),
                np.where(own, coefficients[rows], 0),
            )
            total = part if total is None else total + part
            jax.block_until_ready(total)
            outputs.append(jax.tree.map(lambda x, own=own: np.asarray(x)[own], seen))
        losses, others = jax.tree.map(lambda *parts: np.concatenate(parts), *outputs)
        encoded = self._messages.encode(
            total, of_message, number, round, int(question.decoded_in[number])
        )
        return Answer(encoded, losses, tuple(jax.tree.leaves(others)))

    def _read(self, iteration: int) -> Batch:
        """The batch of all its partitions; kept where there are other workers."""
        assert self._feed is not None
        if len(self._rows) == 1:
            return self._feed.read(self._key, iteration)
        if self._batch is None or self._batch[0] != iteration:
            batch = self._feed.read(self._key, iteration)
            self._batch = iteration, batch
        return self._batch[1]


@jax.jit
def _keys(key: Any, iteration: Any, worker: Any) -> tuple[Any, Any]:
    """Of an iteration's losses, and of a worker's message; in one call."""
    of_loss = jax.random.fold_in(run_keys(key).loss, iteration)
    return of_loss, message_key(key, iteration, worker)


def message_function(work: Work) -> Callable[..., Any]:
    """A jit-compiled `message(params, model_state, key, batch, a)`.

    Σ_j a_ij g_j of some of a worker's partitions as one vector, their mean losses and
    their other outputs. The coefficients are an argument: a code that was re-designed
    needs no compilation.
    """

    @jax.jit
    def message(
        params: Params,
        model_state: ModelState,
        key: Any,
        batch: Batch,
        coefficients: Any,
    ) -> Any:
        found = coded_gradient(
            work.loss,
            params,
            batch,
            coefficients,
            key=key,
            model_state=model_state,
            chunk_size=work.chunk_size,
        )
        others = (found.model_states if work.loss.has_state else (), found.metrics)
        return ravel_pytree(found.gradient)[0], found.losses, others

    return message
