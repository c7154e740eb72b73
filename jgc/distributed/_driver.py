"""The driver: sends parameters, waits, decodes what came, updates."""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from jgc._plan import CodingPlan
from jgc.decoders import Decoder, fixed
from jgc.distributed._adaptation import (
    Adaptation,
    init_code_state,
    observe,
    plan_in_use,
)
from jgc.distributed._messages import Answer, Expected, why_rejected
from jgc.distributed._partitions import by_worker, split_examples
from jgc.distributed._policies import Policy, Waiting
from jgc.distributed._pool import WorkerPool
from jgc.distributed._worker import Work, vector_of
from jgc.optim import two_track_weights
from jgc.training._simulated import (
    Examples,
    Loss,
    Params,
    TrainState,
    apply_gradient,
    init_state,
)

_LOG = logging.getLogger(__name__)


class Round(NamedTuple):
    """What one iteration saw.

    Attributes:
        mask: I_i (k,), whose messages were decoded.
        latencies: seconds from sending the parameters to having the answer (k,);
            infinite where none came in time.
        loss: the mean loss before the step over the examples whose losses came; NaN if
            none did.
        seconds: that the iteration took, from parameters to parameters.
        waited: seconds of them spent waiting for workers.
        rejected: messages that were not sound, or tasks that raised.
        dropped: messages or failures of earlier iterations, which came too late.
        lost: workers that died or hung.
    """

    mask: Bool[np.ndarray, " k"]
    latencies: Float[np.ndarray, " k"]
    loss: float
    seconds: float
    waited: float
    rejected: int
    dropped: int
    lost: int


class _Collected(NamedTuple):
    answers: dict[int, Answer]
    latencies: Float[np.ndarray, " k"]
    rejected: int
    dropped: int
    lost: int


class Driver:
    """Trains over a pool of workers, one coded iteration at a time.

    All that the next iteration depends on is in the `TrainState`: what a checkpoint
    holds, and what a resumed run goes on from exactly.
    """

    def __init__(
        self,
        pool: WorkerPool,
        loss: Loss,
        optimizer: optax.GradientTransformation,
        plan: CodingPlan,
        *,
        params: Params,
        examples: Examples,
        partition: ArrayLike,
        policy: Policy,
        decoder: Decoder = fixed,
        second_moment_weights: Float[np.ndarray, " k"] | None = None,
        adaptation: Adaptation | None = None,
        chunk_size: int | None = None,
        delays: Float[np.ndarray, "T k"] | None = None,
    ) -> None:
        """Gives the workers their partitions and waits until they have compiled.

        Args:
            pool: of as many workers as the plan.
            loss: `loss(params, examples)`, the losses of the examples, each its own.
                Workers get it by pickle, closures included.
            optimizer: any optax transformation.
            plan: the code; its placement holds for the whole run.
            params: of the shapes that are trained; their values are not used.
            examples: the data, a leading axis over the N examples.
            partition: which partition each example is in (N,).
            policy: how long to wait, such as `fixed_deadline(0.5)`.
            decoder: how messages are decoded.
            second_moment_weights: v of (42), for an optimizer of two tracks. It gets
                the messages decoded by them as `second_moment_updates`.
            adaptation: follow p and re-design; only for the fixed decoder.
            chunk_size: examples in one pass of a worker, see `Work`.
            delays: injected for experiments, see `WorkerPool.assign`.

        Raises:
            ValueError: sizes that do not fit, a policy that is none, or an adaptation
                of another decoder or with two tracks, whose weights it does not
                re-design.
            RuntimeError: a worker cannot be set up; says why.
        """
        if not callable(policy):
            raise ValueError(
                "policy must be one of jgc.distributed, such as fixed_deadline(0.5), "
                f"got {policy!r}"
            )
        if adaptation is not None and not decoder.is_fixed:
            raise ValueError(
                "adaptation re-designs the weights of the fixed decoder; the decoder "
                "given chooses its own for each mask"
            )
        if adaptation is not None and second_moment_weights is not None:
            raise ValueError(
                "adaptation does not re-design second_moment_weights; leave one out"
            )
        self._second = second_moment_weights
        self._pool, self._plan, self._policy = pool, plan, policy
        self._decoder, self._adaptation = decoder, adaptation
        self._optimizer = optimizer
        partitions = split_examples(
            examples, partition, num_partitions=plan.num_partitions
        )
        self._sizes = np.array([jax.tree.leaves(p)[0].shape[0] for p in partitions])
        self._held = by_worker(plan, plan.edge_partition)
        self._holds_data = plan.batch_sizes > 0
        shapes = jax.eval_shape(lambda: init_state(params, optimizer).params)
        self._expected = Expected(*vector_of(shapes))
        self._update = _update_function(optimizer)
        work = Work(
            loss=loss,
            params=shapes,
            num_examples=int(self._sizes.sum()),
            chunk_size=chunk_size,
        )
        pool.assign(work, partitions, self._held, delays=delays)

    def init(self, params: Params, straggler_state: Any = ()) -> TrainState:
        """The state before the first iteration.

        Args:
            params: to start from.
            straggler_state: the caller's own; with an adaptation it is the driver's.
        """
        if self._adaptation is not None:
            straggler_state = init_code_state(self._adaptation, self._plan)
        return init_state(params, self._optimizer, straggler_state)

    def plan(self, state: TrainState) -> CodingPlan:
        """The code in use."""
        if self._adaptation is None:
            return self._plan
        return plan_in_use(state.straggler_state, self._plan)

    def advance(
        self, state: TrainState, *, asked: Bool[np.ndarray, " k"] | None = None
    ) -> tuple[TrainState, Round]:
        """One iteration.

        Args:
            state: before it.
            asked: impose a recorded mask: these workers alone are asked, and the policy
                decides how long they are waited for. By default all.

        Raises:
            RuntimeError: every worker that holds data sent what had to be rejected.
        """
        began = time.perf_counter()
        plan = self.plan(state)
        wanted = (
            self._holds_data if asked is None else self._holds_data & np.asarray(asked)
        )
        collected = self._collect(plan, state, wanted)
        waited = time.perf_counter() - began

        mask = np.isfinite(collected.latencies)
        weights = _weights(self._decoder, plan, self._second, mask)
        state = self._update(state, weights, self._messages(collected.answers))
        jax.block_until_ready(state.params)
        if self._adaptation is not None:
            state = state._replace(
                straggler_state=observe(
                    self._adaptation, state.straggler_state, plan, mask
                )
            )
        return state, Round(
            mask=mask,
            latencies=collected.latencies,
            loss=self._mean_loss(collected.answers),
            seconds=time.perf_counter() - began,
            waited=waited,
            rejected=collected.rejected,
            dropped=collected.dropped,
            lost=collected.lost,
        )

    def _collect(
        self, plan: CodingPlan, state: TrainState, wanted: Bool[np.ndarray, " k"]
    ) -> _Collected:
        """Sends the parameters and takes answers until the policy is met."""
        iteration = int(state.iteration) + 1
        vector = np.asarray(_ravel(state.params))
        coefficients = np.asarray(plan.edge_coefficient, np.float32)
        rows = by_worker(plan, coefficients)
        began = time.perf_counter()
        round = self._pool.begin_round(iteration, vector, rows, wanted)
        answers: dict[int, Answer] = {}
        latencies = np.full(plan.num_workers, np.inf)
        outstanding = wanted.copy()
        rejections: list[str] = []
        dropped = lost = 0
        while outstanding.any():
            answered = np.isfinite(latencies)
            elapsed = time.perf_counter() - began
            left = self._policy(Waiting(plan, answered, elapsed))
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
                    failure = why_rejected(
                        answer, self._expected, self._held[worker].size
                    )
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
        return _Collected(answers, latencies, len(rejections), dropped, lost)

    def _messages(self, answers: dict[int, Answer]) -> tuple[np.ndarray, ...]:
        """A vector for each worker; of stragglers, zeros that share their memory."""
        nothing = np.broadcast_to(
            np.zeros((), self._expected.dtype), (self._expected.size,)
        )
        return tuple(
            answers[i].message if i in answers else nothing
            for i in range(len(self._held))
        )

    def _mean_loss(self, answers: dict[int, Answer]) -> float:
        losses = np.full(self._sizes.size, np.nan)
        for worker, answer in answers.items():
            losses[self._held[worker]] = answer.partition_losses
        seen = ~np.isnan(losses)
        examples = self._sizes[seen].sum()
        return float(losses[seen].sum() / examples) if examples else float("nan")


_ravel = jax.jit(lambda tree: ravel_pytree(tree)[0])


@jax.jit
def _weights(
    decoder: Decoder,
    plan: CodingPlan,
    second_moment_weights: Float[Array, " k"] | None,
    mask: Bool[Array, " k"],
) -> Float[Array, "*tracks k"]:
    if second_moment_weights is None:
        return decoder(plan, mask)
    return two_track_weights(plan, second_moment_weights, mask, decoder=decoder)


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


def _update_function(
    optimizer: optax.GradientTransformation,
) -> Callable[..., TrainState]:
    @jax.jit
    def update(
        state: TrainState,
        weights: Float[Array, "*tracks k"],
        messages: tuple[Float[Array, " size"], ...],
    ) -> TrainState:
        _, unravel = ravel_pytree(state.params)

        def decode(weights: Float[Array, " k"]) -> Params:
            return unravel(decode_vectors(weights, messages))

        has_tracks = weights.ndim == 2
        gradient = (jax.vmap(decode) if has_tracks else decode)(weights)
        return apply_gradient(optimizer, state, gradient, has_tracks=has_tracks)

    return update
