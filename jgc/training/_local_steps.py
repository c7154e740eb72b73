"""Several local steps between two messages, coded: a partition's own, not a worker's.

A partition is trained by itself from the parameters of the round, x, to y_j by H steps,
and its pseudo-gradient x − y_j takes the gradient's place, as in local SGD [Stich 2019]
and DiLoCo [Douillard et al. 2023]. Who holds the partition does not matter to it, so
messages are encoded and decoded as ever [ours].
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from jgc import _checks
from jgc.training._loss import (
    Examples,
    Loss,
    LossLike,
    ModelState,
    Outputs,
    Params,
    as_loss,
    outputs_of,
)


def local_steps(
    loss: LossLike,
    inner: optax.GradientTransformation,
    *,
    num_steps: int,
    batch_size: int | None = None,
) -> Loss:
    """A loss for any path, whose gradient is where H steps of its own take a partition.

    With x the parameters and y_j what `num_steps` steps of `inner` on partition j make
    of them, the path decodes Σ_j (N_j/N) (x − y_j) and its optimizer is the outer one:
    `optax.sgd(1.0)` is the mean over partitions, and `optax.sgd(0.7, momentum=0.9,
    nesterov=True)` that of DiLoCo. One step of `optax.sgd(η)` and an outer
    `optax.sgd(1.0)` are coded gradient descent at the rate η.

    What a round takes rises with H, its message does not. Partitions that are alike
    gain from it. Where they are not, each drifts towards an optimum of its own, and the
    rounds converge to a point that is none of the whole unless H = 1 or the inner rate
    goes to 0: with a load of data cut by class, do not.

    Each round begins with a new state of `inner`: kept from round to round, as DiLoCo
    does, it would depend on who has computed the partition before. A state of the model
    goes through all steps. A report's losses are those before the steps, for which
    there is one more forward pass. Each partition needs memory for parameters and a
    state of `inner` of its own; `chunk_size=` of a path bounds how many at a time. A
    worker drops a task between chunks, not between steps.

    Args:
        loss: `loss(params, examples)`, or of `partition_loss`.
        inner: any optax transformation of one track.
        num_steps: H ≥ 1.
        batch_size: examples of a step, of those that a round takes of the partition:
            the next of these each time, and then the first again; if they are fewer,
            all. None: all.

    Raises:
        ValueError: a number below 1, or an `inner` that is no optax transformation.

    Example:
        >>> import jgc
        >>> from jgc.training import Job, arrays, partitioned, simulated
        >>> x = jnp.linspace(-1, 1, 12)
        >>> job = Job(
        ...     plan=jgc.codes.straggler_free(3, num_partitions=3),
        ...     data=partitioned(arrays(x), jnp.arange(12) % 3, num_partitions=3),
        ... )
        >>> def loss(w, x):
        ...     return (w * x - 2 * x) ** 2
        >>> for steps in (1, 10):
        ...     local = local_steps(loss, optax.sgd(0.3), num_steps=steps)
        ...     with simulated(local, optax.sgd(1.0))(job) as run:
        ...         state = run.init(jax.random.key(0), jnp.zeros(()))
        ...         for _ in range(3):
        ...             state, report = run.step(state, [True] * 3)
        ...     print(f"{steps}: {state.params:.3f}")
        1: 1.109
        10: 1.999
    """
    own = as_loss(loss)
    num_steps = _checks.count("num_steps", num_steps)
    if batch_size is not None:
        batch_size = _checks.count("batch_size", batch_size)
    if not isinstance(inner, optax.GradientTransformation):
        raise ValueError(f"inner must be an optax transformation, got {inner!r}")

    def function(
        params: Params,
        examples: Examples,
        *,
        is_real: Bool[Array, " b"],
        key: Any = None,
        model_state: ModelState = (),
    ) -> Outputs:
        start = jax.lax.stop_gradient(params)

        def arguments(is_real: Bool[Array, " s"], key: Any) -> dict[str, Any]:
            extra = {"key": key} if own.takes_key else {}
            return {**extra, "is_real": is_real} if own.takes_is_real else extra

        def step(carry: Any, at: tuple[Array, Any]) -> tuple[Any, None]:
            params, inner_state, model_state = carry
            number, key = at
            taken, counts = examples, is_real
            if batch_size is not None:
                num_real = is_real.sum()
                slots = jnp.arange(batch_size)
                rows = (number * batch_size + slots) % jnp.maximum(num_real, 1)
                taken = jax.tree.map(lambda leaf: leaf[rows], examples)
                counts = slots < num_real  # each of them once

            def mean(params: Params) -> tuple[Float[Array, ""], ModelState]:
                found = outputs_of(
                    own, params, taken, arguments(counts, key), model_state
                )
                total = jnp.where(counts, found.losses, 0).sum()
                return total / jnp.maximum(counts.sum(), 1), found.model_state

            gradient, model_state = jax.grad(mean, has_aux=True)(params)
            updates, inner_state = inner.update(gradient, inner_state, params)
            params = optax.apply_updates(params, updates)
            return (params, inner_state, model_state), None

        keys = None
        if own.takes_key:  # the first step's is the round's: H = 1 is plain training
            later = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(num_steps))
            keys = later.at[0].set(key)
        (end, _, model_state_after), _ = jax.lax.scan(
            step,
            (start, inner.init(start), model_state),
            (jnp.arange(num_steps), keys),
        )
        before = outputs_of(own, start, examples, arguments(is_real, key), model_state)
        pseudo_gradient = jax.tree.map(jnp.subtract, start, end)
        losses = _with_gradient(params, before.losses, pseudo_gradient)
        return Outputs(losses, model_state_after, before.metrics)

    return Loss(
        function,
        is_separable=False,
        takes_key=own.takes_key,
        has_state=own.has_state,
        takes_is_real=True,
    )


def _with_gradient(
    params: Params, losses: Float[Array, " b"], gradient: Params
) -> Float[Array, " b"]:
    """The losses, each with this gradient by the parameters.

    A function, which goes to other processes by its name: a `custom_vjp` has none.
    """
    return _losses_of(params, losses, gradient)


@jax.custom_vjp
def _losses_of(
    params: Params, losses: Float[Array, " b"], gradient: Params
) -> Float[Array, " b"]:
    return losses


def _forward(params: Params, losses: Array, gradient: Params) -> tuple[Array, Params]:
    return losses, gradient


def _backward(gradient: Params, cotangent: Array) -> tuple[Params, Array, Params]:
    total = cotangent.sum()
    return (
        jax.tree.map(lambda g: (total * g).astype(g.dtype), gradient),
        jnp.zeros_like(cotangent),
        jax.tree.map(jnp.zeros_like, gradient),
    )


_losses_of.defvjp(_forward, _backward)
