"""What paths without worker processes share: a compiled update, told who answers."""

import time
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import optax
from jaxtyping import Array, Bool

from jgc._plan import AnyArray, CodingPlan
from jgc.codecs import Codec
from jgc.decoders import Decoder
from jgc.gradients import SimilarityEstimator
from jgc.training._feed import Feed, few_examples
from jgc.training._following import CodeInUse
from jgc.training._job import Answers, Job, Run
from jgc.training._loss import Loss, ModelState, Params, check_loss
from jgc.training._messages import first_memory
from jgc.training._partitions import Batch
from jgc.training._reached import reached
from jgc.training._similarity import SimilarityInUse
from jgc.training._state import Report, TrainState, init_state, overall

# update(state, key, batch, plan, decoder, answered, probing) -> state, losses of the
# partitions, metrics; the states come and go without `code` and `key`.
Update: TypeAlias = Callable[
    [
        TrainState,
        Array,
        Batch,
        CodingPlan,
        Decoder,
        Bool[Any, " k"],
        SimilarityEstimator | None,
    ],
    tuple[TrainState, Array, dict[str, Array]],
]


def _bare(state: TrainState) -> TrainState:
    """The state without what an update does not see."""
    nothing: Any = ()
    return state._replace(code=nothing, key=nothing)


def device_run(
    job: Job,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    update: Update,
    feed: Feed,
    place: Callable[[TrainState], TrainState] = lambda state: state,
    codec: Codec | None = None,
) -> Run:
    """A run whose iterations are `update` of the batches of `feed`.

    Args:
        job: the run.
        loss: of the user.
        optimizer: any optax transformation.
        update: compiled.
        feed: of the batches as `update` takes them.
        place: puts the first state where `update` takes it.
        codec: of the messages, where there are any.
    """
    answers = Answers(job)
    code = CodeInUse(job.plan, job.decoder, job.following)
    similarity = SimilarityInUse.of(job.similarity, job.decoder)
    sizes = np.asarray(job.data.size)
    everyone = np.ones(job.plan.num_workers, bool)
    is_held = np.asarray(reached(job.plan, everyone))

    def init(key: Array, params: Params, model_state: ModelState = ()) -> TrainState:
        state = init_state(
            key,
            params,
            optimizer,
            model_state=model_state,
            stragglers=answers.init(key),
            similarity=similarity.init(),
            memory=first_memory(codec, job.plan.num_workers, params),
        )
        check_loss(loss, state.params, few_examples(job.data), key, state.model_state)
        return place(state)._replace(code=code.init())

    def step(
        state: TrainState, answered: Bool[AnyArray, " k"] | None = None
    ) -> tuple[TrainState, Report]:
        began = time.perf_counter()
        told, state = answers.of(state, answered)
        if told is None:
            raise ValueError(
                "this path has no workers to observe: give the job stragglers=, such "
                "as jgc.stragglers.bernoulli(p), or call step(state, answered)"
            )
        # With several processes what is the same on all must come from the host.
        mask = np.asarray(told)
        plan, decoder = code.of(state.code)
        followed = code.observe(state.code, mask)
        iteration, rho = int(state.iteration), similarity.rho(state.similarity)
        # What an update does not change stays the same object, and is not copied.
        after, losses, metrics = update(
            _bare(state),
            state.key,
            feed.read(state.key, iteration),
            plan,
            similarity.decoder(decoder, state.similarity),
            mask,
            similarity.probing(iteration),
        )
        each = np.where(is_held, np.asarray(losses, np.float64), np.nan)
        return after._replace(code=followed, key=state.key), Report(
            loss=overall(each, sizes, is_held),
            answered=mask,
            seconds=time.perf_counter() - began,
            partition_losses=each,
            metrics={name: float(value) for name, value in metrics.items()},
            similarity=rho,
        )

    return Run(init, step)
