"""Workers in processes: sends parameters, waits, decodes what came, updates."""

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan
from jgc.codecs import Codec, full
from jgc.decoders import Decoder
from jgc.distributed._by_worker import by_worker
from jgc.distributed._messages import Expected, Header
from jgc.distributed._policies import Policy
from jgc.distributed._pool import WorkerPool
from jgc.distributed._recent import Recent
from jgc.distributed._round import Round
from jgc.distributed._summing import Decoding, message_keys
from jgc.distributed._worker import Question, Work, message_function
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
from jgc.training._messages import check_codec, vector_of
from jgc.training._reached import reached
from jgc.training._similarity import (
    SimilarityInUse,
    observed,
    with_probe,
    without_probe,
)
from jgc.training._state import apply_gradient, init_state, overall, positive_chunk


def ray(
    loss: LossLike,
    optimizer: optax.GradientTransformation,
    *,
    pool: WorkerPool,
    policy: Policy,
    codec: Codec | None = None,
    chunk_size: int | None = None,
    hosts: ArrayLike | None = None,
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
        pool: of as many workers as a job's plan, unless `hosts` says otherwise.
        policy: how long to wait, such as `fixed_deadline(0.5)`.
        codec: of the messages, such as `jgc.codecs.int8()`; None: as they are. What a
            biased one leaves over is kept by the workers and not by the state: who is
            replaced, and a run that goes on from a checkpoint, starts with nothing.
        chunk_size: examples in one pass of a worker, see `Work`.
        hosts: the process of the pool that each of the plan's workers is in (k,). Those
            of a process take turns by their number, and each one's message leaves as
            soon as it is ready: with a plan of `jgc.codes.split` and its `worker`, what
            a late process has finished is used. None: each has a process of its own.
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
    check_codec(codec)
    options = _Options(
        as_loss(loss),
        optimizer,
        pool,
        policy,
        full() if codec is None else codec,
        positive_chunk(chunk_size),
        hosts,
        delays,
        tuple(faults),
    )

    @contextmanager
    def open_run(job: Job) -> Iterator[Run]:
        driver = _Driver(job, options)
        yield Run(driver.init, driver.step)

    return open_run


class _Options(NamedTuple):
    """What a path was made of."""

    loss: Loss
    optimizer: optax.GradientTransformation
    pool: WorkerPool
    policy: Policy
    codec: Codec
    chunk_size: int | None
    hosts: ArrayLike | None
    delays: Float[np.ndarray, "T k"] | None
    faults: tuple[Fault, ...]


class _Driver:
    """One run."""

    def __init__(self, job: Job, options: _Options) -> None:
        self._job, self._options = job, options
        self._answers = Answers(job)
        self._code = CodeInUse(job.plan, job.decoder, job.following)
        self._similarity = SimilarityInUse.of(job.similarity, job.decoder)
        self._held = by_worker(job.plan, job.plan.edge_partition)
        self._holds_data = job.plan.batch_sizes > 0
        self._hosts = None
        if options.hosts is not None:
            self._hosts = _checks.integers(
                "hosts",
                options.hosts,
                size=job.plan.num_workers,
                below=options.pool.num_workers,
            )
        self._decoding: Decoding | None = None
        self._decoded_in = np.full(job.plan.num_workers, -1)
        self._recent = Recent(job.plan.num_workers)
        self._update = _update_function(options.optimizer, options.loss)

    def init(
        self, key: Array, params: Params, model_state: ModelState = ()
    ) -> TrainState:
        options = self._options
        state = init_state(
            key,
            params,
            options.optimizer,
            model_state=model_state,
            stragglers=self._answers.init(key),
            code=self._code.init(),
            similarity=self._similarity.init(),
        )
        if jax.random.key_impl(key) != jax.random.key_impl(jax.random.key(0)):
            raise ValueError(
                "key must be of JAX's default kind, which workers make anew; got "
                f"{jax.random.key_impl(key)}"
            )
        few = few_examples(self._job.data)
        check_loss(options.loss, state.params, few, key, state.model_state)
        structs = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype),
            (state.params, state.model_state),
        )
        work = Work(
            loss=options.loss,
            params=structs[0],
            codec=options.codec,
            model_state=structs[1],
            chunk_size=options.chunk_size,
        )
        size, _ = vector_of(state.params)
        message, _, outputs = jax.eval_shape(
            message_function(work),
            state.params,
            state.model_state,
            key,
            few,
            np.zeros(1, np.float32),
        )
        encoded = jax.eval_shape(options.codec.encode, message, key)
        self._outputs = jax.tree.structure(outputs)
        self._decoding = Decoding(
            codec=options.codec,
            size=size,
            structure=jax.tree.structure(encoded),
            expected=Expected(
                tuple((x.shape, np.dtype(x.dtype)) for x in jax.tree.leaves(encoded)),
                tuple((x.shape[1:], x.dtype) for x in jax.tree.leaves(outputs)),
            ),
        )
        self._recent = Recent(self._job.plan.num_workers)
        options.pool.assign(
            work,
            self._job.data,
            self._held,
            np.asarray(jax.random.key_data(key)),
            hosts=self._hosts,
            delays=options.delays,
            faults=options.faults,
        )
        return state

    def step(
        self, state: TrainState, answered: Bool[AnyArray, " k"] | None = None
    ) -> tuple[TrainState, Report]:
        began = time.perf_counter()
        if self._decoding is None:
            raise ValueError("call run.init before run.step: it sets the workers up")
        told, state = self._answers.of(state, answered)
        plan, decoder = self._code.of(state.code)
        iteration, rho = int(state.iteration), self._similarity.rho(state.similarity)
        decoder = self._similarity.decoder(decoder, state.similarity)
        probing = self._similarity.probing(iteration)

        def rows(mask: Bool[np.ndarray, " k"]) -> Float[np.ndarray, "*tracks k"]:
            probed = None if probing is None else state.key
            return np.asarray(_weights(decoder, plan, mask, probed, iteration))

        holds = self._holds_data
        silent = np.zeros_like(holds) if told is None else np.asarray(told) & ~holds
        wanted = holds if told is None else holds & np.asarray(told)
        round, key = self._begin(plan, state, wanted, self._decoding)
        gradient = round.gradient(
            rows, message_keys(key, iteration, plan.num_workers), silent
        )
        self._decoded_in = np.where(round.answered, round.number, self._decoded_in)
        mask = round.answered | silent  # who holds nothing need not be asked
        each, others, is_known = self._partition_outputs(round.headers)
        if gradient is not None and probing is not None:
            seen = _observed(
                probing, state.similarity, plan.coefficients(rows(mask)), gradient
            )
            state = state._replace(similarity=seen)
            gradient = without_probe(gradient, num_tracks=decoder.num_tracks)
        if gradient is None:
            size, dtype = vector_of(state.params)
            tracks = (2,) if decoder.num_tracks == 2 else ()
            gradient = np.zeros((*tracks, size), dtype)
        code = self._code.observe(state.code, mask | ~holds)
        state = self._update(
            state._replace(code=()),
            gradient,
            others[0] if others else (),
            np.asarray(reached(plan, mask)),  # as other paths: not what a_ij = 0 holds
            decoder.num_tracks,
        )
        jax.block_until_ready(state.params)
        metrics = others[1] if others else {}
        return state._replace(code=code), Report(
            loss=overall(each, np.asarray(self._job.data.size), is_known),
            answered=mask,
            seconds=time.perf_counter() - began,
            partition_losses=each,
            metrics={name: float(m[is_known].mean()) for name, m in metrics.items()},
            similarity=rho,
            details=round.details(),
        )

    def _begin(
        self,
        plan: CodingPlan,
        state: TrainState,
        wanted: Bool[np.ndarray, " k"],
        decoding: Decoding,
    ) -> tuple[Round, np.ndarray]:
        """Sends the parameters out; also returns the key of the run."""
        iteration, pool = int(state.iteration), self._options.pool
        question = Question(
            jax.device_get(state.params),
            jax.device_get(state.model_state),
            np.asarray(jax.random.key_data(state.key)),
            iteration,
            self._decoded_in,
        )
        rows = by_worker(plan, np.asarray(plan.edge_coefficient, np.float32))
        number = pool.begin_round(question, rows, wanted)
        round = Round(
            pool,
            self._options.policy,
            plan,
            number=number,
            iteration=iteration,
            held=self._held,
            wanted=wanted,
            decoding=decoding,
            recent=self._recent,
        )
        return round, question.key

    def _partition_outputs(
        self, answers: Mapping[int, Header]
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


_observed = jax.jit(observed)


@jax.jit
def _weights(
    decoder: Decoder,
    plan: CodingPlan,
    answered: Bool[AnyArray, " k"],
    probed: Array | None,
    iteration: int,
) -> Float[Array, "*tracks k"]:
    """Of the decoder, and with the run's key `probed` those of the probe after them."""
    weights = decoder(plan, answered)
    return weights if probed is None else with_probe(weights, probed, iteration)


def _update_function(optimizer: optax.GradientTransformation, loss: Loss) -> Any:
    @functools.partial(jax.jit, static_argnames="num_tracks")
    def update(
        state: TrainState,
        gradient: Float[Array, "*tracks d"],
        model_states: ModelState,
        counts: Bool[Array, " n"],
        num_tracks: int,
    ) -> TrainState:
        _, unravel = ravel_pytree(state.params)
        tree = (unravel if num_tracks == 1 else jax.vmap(unravel))(gradient)
        if loss.has_state and jax.tree.leaves(model_states):
            new = mean_state(state.model_state, model_states, counts)
            state = state._replace(model_state=new)
        return apply_gradient(optimizer, state, tree, num_tracks=num_tracks)

    return update
