"""All workers on one device, at the cost of plain gradient descent.

The step is one forward and one backward pass over the data, with each partition's
examples weighted by what its gradient ends up multiplied by, whatever k, n and the
code (`jgc.training.coded_gradient`). Only a codec needs every worker's message.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jgc._plan import AnyArray, CodingPlan
from jgc.codecs import Codec
from jgc.decoders import Decoder
from jgc.gradients import SimilarityEstimator
from jgc.training._device_run import device_run
from jgc.training._feed import Feed
from jgc.training._gradient import coded_gradient, mean_state
from jgc.training._job import Job, Run, TrainingPath
from jgc.training._loss import LossLike, as_loss
from jgc.training._messages import Coded, check_codec, through
from jgc.training._partitions import Batch
from jgc.training._reached import reached
from jgc.training._similarity import observed, with_probe, without_probe
from jgc.training._state import TrainState, apply_gradient, positive_chunk, run_keys


class _Decoded(NamedTuple):
    """What an iteration needs to know of its code and mask.

    Attributes:
        coefficients: c; a row of each track where there are two, and one of the probe
            where there is one.
        reached: the partitions that somebody who answered holds.
        held: those that somebody holds.
        coded: where messages go through a codec, else None.
    """

    coefficients: Float[Array, "*rows n"]
    reached: Bool[Array, " n"]
    held: Bool[Array, " n"]
    coded: Coded | None


# Apart from the model's pass, which thus compiles once whatever the code and decoder.
@partial(jax.jit, static_argnames="has_messages")
def _decode(
    plan: CodingPlan,
    decoder: Decoder,
    answered: Bool[AnyArray, " k"],
    probed: tuple[Array, Array] | None,
    *,
    has_messages: bool,
) -> _Decoded:
    weights = decoder(plan, answered)
    if probed is not None:
        weights = with_probe(weights, *probed)
    return _Decoded(
        plan.coefficients(weights),
        reached(plan, answered),
        reached(plan, jnp.ones_like(answered)),
        Coded(plan.encode(jnp.eye(plan.num_partitions)), weights, jnp.asarray(answered))
        if has_messages
        else None,
    )


def simulated(
    loss: LossLike,
    optimizer: optax.GradientTransformation,
    *,
    codec: Codec | None = None,
    chunk_size: int | None = None,
) -> TrainingPath:
    """Workers that exist in the weights of their examples alone.

    The model's pass compiles once for all jobs on the path whose batches are of equal
    sizes, whatever their codes and decoders.

    Args:
        loss: `loss(params, examples)`, the losses of the examples, or of
            `partition_loss`. The objective is the mean over all N examples.
        optimizer: any optax transformation; one of two tracks for a decoder of two.
        codec: of the messages, such as `jgc.codecs.int8()`, what `jgc.distributed.ray`
            does with one: k backward passes, and memory for k gradients. None: as they
            are.
        chunk_size: see `coded_gradient`.

    Returns:
        A path: `with path(job) as run:` gives `run.init` and `run.step`, see `Run`.

    Raises:
        ValueError: a codec that is none, or a chunk of no examples; in `init`, a loss
            that mixes examples or returns no loss an example; in `step`, no mask and no
            straggler model.

    Example:
        >>> import jgc
        >>> import numpy as np
        >>> from jgc.training import Job, arrays, partitioned
        >>> p = [0.1, 0.2, 0.5]
        >>> x = np.linspace(-1, 1, 12, dtype=np.float32)
        >>> job = Job(
        ...     plan=jgc.codes.interval(p, num_partitions=3),
        ...     data=partitioned(arrays(x), np.arange(12) % 3, num_partitions=3),
        ...     stragglers=jgc.stragglers.bernoulli(p),
        ... )
        >>> path = simulated(lambda w, x: (w * x - 2 * x) ** 2, optax.sgd(0.3))
        >>> with path(job) as run:
        ...     state = run.init(jax.random.key(0), jnp.zeros(()))
        ...     for _ in range(50):
        ...         state, report = run.step(state)
        >>> bool(abs(state.params - 2) < 0.01), report.answered.shape
        (True, (3,))
    """
    own_loss, chunk = as_loss(loss), positive_chunk(chunk_size)
    check_codec(codec)

    @partial(jax.jit, static_argnames="num_tracks")
    def apply(
        state: TrainState,
        key: Array,
        batch: Batch,
        decoded: _Decoded,
        probing: SimilarityEstimator | None,
        *,
        num_tracks: int,
    ) -> tuple[TrainState, Array, dict[str, Array]]:
        coded = decoded.coded
        found = coded_gradient(
            own_loss,
            state.params,
            batch,
            decoded.coefficients if coded is None else coded.encoding,
            key=jax.random.fold_in(run_keys(key).loss, state.iteration),
            model_state=state.model_state,
            chunk_size=chunk,
        )
        if own_loss.has_state:
            new = mean_state(state.model_state, found.model_states, decoded.reached)
            state = state._replace(model_state=new)
        gradient = found.gradient
        if codec is not None and coded is not None:
            gradient, memory = through(
                codec, gradient, coded, state.memory, key, state.iteration
            )
            state = state._replace(memory=memory)
        if probing is not None:
            c = decoded.coefficients
            seen = observed(probing, state.similarity, c, gradient)
            state = state._replace(similarity=seen)
            gradient = without_probe(gradient, num_tracks=num_tracks)
        state = apply_gradient(optimizer, state, gradient, num_tracks=num_tracks)
        metrics = jax.tree.map(lambda m: m.mean(where=decoded.held), found.metrics)
        return state, found.losses, metrics

    def update(
        state: TrainState,
        key: Array,
        batch: Batch,
        plan: CodingPlan,
        decoder: Decoder,
        answered: Bool[AnyArray, " k"],
        probing: SimilarityEstimator | None,
    ) -> tuple[TrainState, Array, dict[str, Array]]:
        probed = None if probing is None else (key, state.iteration)
        decoded = _decode(
            plan, decoder, answered, probed, has_messages=codec is not None
        )
        return apply(state, key, batch, decoded, probing, num_tracks=decoder.num_tracks)

    @contextmanager
    def open_run(job: Job) -> Iterator[Run]:
        with Feed(job.data, place=_on_device) as feed:
            yield device_run(job, own_loss, optimizer, update, feed, codec=codec)

    return open_run


def _on_device(batch: Batch) -> Batch:
    """The batch on the default device."""
    return jax.tree.map(jnp.asarray, batch)
