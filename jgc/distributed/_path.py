"""Workers in processes: sends parameters, waits, decodes what came, updates."""

import functools
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.distributed._by_worker import by_worker
from jgc.distributed._messages import Answer, Expected, why_rejected
from jgc.distributed._policies import Policy, Waiting
from jgc.distributed._pool import WorkerPool
from jgc.distributed._worker import Question, Work, message_function, vector_of
from jgc.distributed.faults import Fault
from jgc.training import Job, Report, Run, TrainingPath, TrainState
from jgc.training._feed import few_examples
from jgc.training._following import CodeInUse
from jgc.training._gradient import mean_state
from jgc.training._job import Answers
from jgc.training._loss import (
    Loss,
    LossLike,
    ModelState,
    Params,
    as_loss,
    check_loss,
)
from jgc.training._state import apply_gradient, init_state, overall, positive_chunk

_LOG = logging.getLogger(__name__)


class Details(NamedTuple):
    """What an iteration on processes saw beside its report.

    Attributes:
        latencies: seconds from sending the parameters to having the answer (k,);
            infinite where none came in time.
        waited: seconds spent waiting for workers.
        rejected: messages that were not sound, or tasks that raised.
        dropped: messages or failures of earlier iterations, which came too late.
        lost: workers that died or hung.
    """

    latencies: Float[np.ndarray, " k"]
    waited: float
    rejected: int
    dropped: int
    lost: int


class _Collected(NamedTuple):
    answers: dict[int, Answer]
    details: Details


def ray(
    loss: LossLike,
    optimizer: optax.GradientTransformation,
    *,
    pool: WorkerPool,
    policy: Policy,
    chunk_size: int | None = None,
    delays: Float[np.ndarray, "T k"] | None = None,
    faults: Sequence[Fault] = (),
) -> TrainingPath:
    """Each worker is a process of `pool`, and reads its own partitions.

    Who answers is observed: those that come before `policy` ends the wait. A job with a
    straggler model, or a step that is told who `answered`, asks those workers alone,
    and the policy decides how long they are waited for. The processes outlive a run.

    Args:
        loss: `loss(params, examples)`, the losses of the examples, or of
            `partition_loss`. Workers get it by pickle, closures included. The objective
            is the mean over all N examples.
        optimizer: any optax transformation; one of two tracks for a decoder of two.
        pool: of as many workers as a job's plan.
        policy: how long to wait, such as `fixed_deadline(0.5)`.
        chunk_size: examples in one pass of a worker, see `Work`.
        delays: seconds that worker i sleeps before its task of iteration t, at
            [t mod T, i], for experiments.
        faults: of `jgc.distributed.faults`, for tests.

    Returns:
        A path: `with path(job) as run:` gives `run.init` and `run.step`, see `Run`;
        `init` waits until the workers have compiled. A report's `details` are
        `Details`, its losses those of workers that answered.

    Raises:
        ValueError: a policy that is none, or a chunk of no examples; in `init`, a plan
            for other workers, or a loss that mixes examples.
        RuntimeError: in `init`, a worker cannot be set up; in `step`, every worker that
            holds data sent what had to be rejected.

    Example:
        >>> from jgc.distributed import fixed_deadline
        >>> path = ray(loss, optax.sgd(0.1), pool=pool, policy=fixed_deadline(0.5))
        ... # doctest: +SKIP
        >>> with path(Job(plan=plan, data=data)) as run:  # doctest: +SKIP
        ...     state, report = run.step(run.init(key, params))
    """
    if not callable(policy):
        raise ValueError(
            "policy must be one of jgc.distributed, such as fixed_deadline(0.5), got "
            f"{policy!r}"
        )
    own_loss, chunk = as_loss(loss), positive_chunk(chunk_size)

    @contextmanager
    def open_run(job: Job) -> Iterator[Run]:
        driver = _Driver(job, own_loss, optimizer, pool, policy, chunk, delays, faults)
        yield Run(driver.init, driver.step)

    return open_run


class _Driver:
    """One run."""

    def __init__(
        self,
        job: Job,
        loss: Loss,
        optimizer: optax.GradientTransformation,
        pool: WorkerPool,
        policy: Policy,
        chunk_size: int | None,
        delays: Float[np.ndarray, "T k"] | None,
        faults: Sequence[Fault],
    ) -> None:
        self._job, self._loss, self._optimizer = job, loss, optimizer
        self._pool, self._policy = pool, policy
        self._chunk_size, self._delays, self._faults = chunk_size, delays, faults
        self._answers = Answers(job)
        self._code = CodeInUse(job.plan, job.decoder, job.following)
        self._held = by_worker(job.plan, job.plan.edge_partition)
        self._holds_data = job.plan.batch_sizes > 0
        self._expected: Expected | None = None
        self._update = _update_function(optimizer, loss)

    def init(
        self, key: Array, params: Params, model_state: ModelState = ()
    ) -> TrainState:
        state = init_state(
            key,
            params,
            self._optimizer,
            model_state=model_state,
            stragglers=self._answers.init(key),
            code=self._code.init(),
        )
        few = few_examples(self._job.data)
        check_loss(self._loss, state.params, few, key, state.model_state)
        structs = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
            (state.params, state.model_state),
        )
        work = Work(
            loss=self._loss,
            params=structs[0],
            model_state=structs[1],
            chunk_size=self._chunk_size,
        )
        size, dtype = vector_of(state.params)
        outputs = jax.eval_shape(
            message_function(work),
            jax.ShapeDtypeStruct((size,), dtype),
            state.model_state,
            key,
            few,
            np.zeros(1, np.float32),
        )[2]
        self._outputs = jax.tree.structure(outputs)
        self._expected = Expected(
            size,
            dtype,
            tuple((x.shape[1:], x.dtype) for x in jax.tree.leaves(outputs)),
        )
        data = np.asarray(jax.random.key_data(key))
        self._pool.assign(
            work,
            self._job.data,
            self._held,
            data,
            delays=self._delays,
            faults=self._faults,
        )
        return state

    def step(
        self, state: TrainState, answered: Bool[Array, " k"] | None = None
    ) -> tuple[TrainState, Report]:
        began = time.perf_counter()
        if self._expected is None:
            raise ValueError("call run.init before run.step: it sets the workers up")
        told, state = self._answers.of(state, answered)
        plan, decoder = self._code.of(state.code)
        holds = self._holds_data
        wanted = holds if told is None else holds & np.asarray(told)
        collected = self._collect(plan, state, wanted, self._expected)
        mask = np.isfinite(collected.details.latencies)
        if told is not None:  # who holds nothing need not be asked
            mask = mask | (np.asarray(told) & ~holds)
        each, others, is_known = self._partition_outputs(collected.answers)
        code = self._code.observe(state.code, mask)
        state = self._update(
            state._replace(code=()),
            plan,
            decoder,
            mask,
            self._messages(collected.answers, self._expected),
            others[0] if others else (),
            is_known,
        )
        jax.block_until_ready(state.params)
        metrics = others[1] if others else {}
        return state._replace(code=code), Report(
            loss=overall(each, np.asarray(self._job.data.size)),
            answered=mask,
            seconds=time.perf_counter() - began,
            partition_losses=each,
            metrics={name: float(m[is_known].mean()) for name, m in metrics.items()},
            details=collected.details,
        )

    def _collect(
        self,
        plan: CodingPlan,
        state: TrainState,
        wanted: Bool[np.ndarray, " k"],
        expected: Expected,
    ) -> _Collected:
        """Sends the parameters and takes answers until the policy is met."""
        iteration = int(state.iteration)
        question = Question(
            np.asarray(_ravel(state.params)),
            jax.tree.map(np.asarray, state.model_state),
            np.asarray(jax.random.key_data(state.key)),
            iteration,
        )
        coefficients = np.asarray(plan.edge_coefficient, np.float32)
        rows = by_worker(plan, coefficients)
        began = time.perf_counter()
        round = self._pool.begin_round(question, rows, wanted)
        answers: dict[int, Answer] = {}
        latencies = np.full(plan.num_workers, np.inf)
        outstanding = wanted.copy()
        rejections: list[str] = []
        dropped = lost = 0
        while outstanding.any():
            answered = np.isfinite(latencies)
            elapsed = time.perf_counter() - began
            left = self._policy(Waiting(plan, answered, elapsed, latencies.copy()))
            # Once more after the last wait: what has come by then counts.
            for event in self._pool.events(max(left, 0.0)):
                worker, answer, failure = event.worker, event.answer, event.failure
                if event.is_lost:
                    lost += 1
                    continue
                if event.round != round:  # sound or not, it is not of this iteration
                    dropped += 1
                    continue
                if failure is None:
                    failure = why_rejected(answer, expected, self._held[worker].size)
                outstanding[worker] = False
                if failure is None:
                    answers[worker] = answer
                    latencies[worker] = time.perf_counter() - began
                else:
                    rejections.append(failure)
                    _LOG.warning(
                        "Iteration %d: rejected the message of worker %d: %s",
                        iteration,
                        worker,
                        failure,
                    )
            if left <= 0:
                break
        if rejections and len(rejections) == self._holds_data.sum():
            raise RuntimeError(
                f"iteration {iteration}: the messages of all {len(rejections)} workers "
                f"were rejected, the last because {rejections[-1]}"
            )
        waited = time.perf_counter() - began
        details = Details(latencies, waited, len(rejections), dropped, lost)
        return _Collected(answers, details)

    def _messages(
        self, answers: dict[int, Answer], expected: Expected
    ) -> tuple[np.ndarray, ...]:
        """A vector for each worker; of stragglers, zeros that share their memory."""
        nothing = np.broadcast_to(np.zeros((), expected.dtype), (expected.size,))
        return tuple(
            answers[i].message if i in answers else nothing
            for i in range(len(self._held))
        )

    def _partition_outputs(
        self, answers: dict[int, Answer]
    ) -> tuple[Float[np.ndarray, " n"], Any, Bool[np.ndarray, " n"]]:
        """Losses and other outputs by partition (n, …), and which of them came."""
        n = self._job.plan.num_partitions
        losses, is_known = np.full(n, np.nan), np.zeros(n, bool)
        leaves: list[np.ndarray] = []
        for worker, answer in answers.items():
            held = self._held[worker]
            losses[held], is_known[held] = answer.losses, True
            if not leaves:
                leaves = [np.zeros((n, *x.shape[1:]), x.dtype) for x in answer.outputs]
            for whole, part in zip(leaves, answer.outputs, strict=True):
                whole[held] = part
        others = jax.tree.unflatten(self._outputs, leaves) if answers else None
        return losses, others, is_known


_ravel = jax.jit(lambda tree: ravel_pytree(tree)[0])


def decode_vectors(
    weights: Float[Array, " k"], messages: tuple[Float[Array, " size"], ...]
) -> Float[Array, " size"]:
    """ĝ = Σ_i I_i w_i f_i (5) of messages that lie apart, in one pass over them.

    Stacking them for `plan.decode` would copy every message once more.

    Args:
        weights: of a decoder, 0 for workers that did not answer.
        messages: f_i, finite; 0 for workers that did not answer.
    """
    terms = [
        weight.astype(message.dtype) * message
        for weight, message in zip(weights, messages, strict=True)
    ]
    return functools.reduce(jnp.add, terms)


def _update_function(optimizer: optax.GradientTransformation, loss: Loss) -> Any:
    @jax.jit
    def update(
        state: TrainState,
        plan: CodingPlan,
        decoder: Decoder,
        answered: Bool[Array, " k"],
        messages: tuple[Float[Array, " size"], ...],
        model_states: ModelState,
        is_known: Bool[Array, " n"],
    ) -> TrainState:
        _, unravel = ravel_pytree(state.params)
        weights = decoder(plan, answered)

        def decode(weights: Float[Array, " k"]) -> Params:
            return unravel(decode_vectors(weights, messages))

        gradient = (decode if decoder.num_tracks == 1 else jax.vmap(decode))(weights)
        if loss.has_state and model_states != ():
            new = mean_state(state.model_state, model_states, is_known)
            state = state._replace(model_state=new)
        return apply_gradient(optimizer, state, gradient, num_tracks=decoder.num_tracks)

    return update
