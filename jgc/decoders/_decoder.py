"""What a decoder is: from who answered to what each message is multiplied by."""

import abc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jgc._plan import Answered, CodingPlan, Mask, check_answered, coefficients_of
from jgc._pytree import pytree

# (k, *trials) and (n, *trials); of two tracks with an axis of 2 before.
Weights = Float[Array, "..."]
Coefficients = Float[Array, "..."]


def float_dtype() -> jnp.dtype:
    """The precision decoders work in: float32, or float64 where x64 is enabled."""
    return jnp.result_type(float)


class Decoder(abc.ABC):
    """A pure function `decoder(plan, answered) -> weights`, and what to know of it.

    Members are frozen dataclasses and pytrees (`jgc._pytree`): what they were designed
    with goes through `jit` as data. For a function of your own see `from_function`; a
    class of your own is registered by `jax.tree_util.register_static`, or if it holds
    arrays by `register_pytree_with_keys` rather than `register_dataclass`, whose trees
    JAX may take for one another.

    A mask (k,) is one iteration. Further axes are trials and go last, (k, *trials):
    then every step is an elementwise operation over contiguous trials, several times
    faster on a CPU than a `vmap` over the first axis.

    Attributes:
        is_fixed: whether a worker's weight does not depend on who else answered.
        is_unbiased: E[ĝ] = g: True for the law of stragglers that it was designed for,
            False in general, None where the plan's own weights decide.
        num_tracks: 1, or 2 for an optimizer whose second moment has weights of its own:
            then weights have a leading axis of 2.
        follows_similarity: whether `at(ρ)` is another decoder for another ρ.
    """

    is_fixed: ClassVar[bool] = False
    is_unbiased: ClassVar[bool | None] = False
    num_tracks: ClassVar[int] = 1
    follows_similarity: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """In print."""
        return type(self).__name__

    def check(self, plan: CodingPlan) -> None:  # noqa: B027
        """Whether it can decode this plan, seen on the host; most can decode any.

        Raises:
            ValueError: it can not; names what the plan lacks.
        """

    @abc.abstractmethod
    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        """What `decoder(plan, answered)` is, of a mask that has been checked."""

    def __call__(self, plan: CodingPlan, answered: Answered) -> Weights:
        """The weight of each message: ĝ = Σ_i weights_i f_i, `jgc.decode`.

        Args:
            plan: the code.
            answered: I_i (k, *trials), whether worker i answered in time; booleans.

        Returns:
            Weights (k, *trials), 0 for workers that did not answer; (2, k, *trials) of
            a decoder of two tracks.

        Raises:
            ValueError: what is no such mask, or a plan that it cannot decode.
        """
        self.check(plan)
        return weights_of(self, plan, check_answered(answered, plan.num_workers))

    def coefficients(self, plan: CodingPlan, answered: Answered) -> Coefficients:
        """C (n, *trials), what g_j ends up multiplied by: ĝ = Σ_j c_j g_j.

        Args:
            plan: the code.
            answered: I_i (k, *trials).

        Raises:
            ValueError: as in a call.
        """
        self.check(plan)
        return _coefficients_of(self, plan, check_answered(answered, plan.num_workers))

    def _coefficients(self, plan: CodingPlan, answered: Mask) -> Coefficients:
        """What `coefficients` is, of a mask that has been checked."""
        weights = self.weights(plan, answered)
        if self.num_tracks == 1:
            return coefficients_of(plan, weights)
        return jax.vmap(lambda track: coefficients_of(plan, track))(weights)

    def specialised(self, plans: Sequence[CodingPlan]) -> "Decoder":
        """The fastest decoder of the same weights for plans of equal k and n.

        It uses what can be seen of them outside `jit`, and serves these plans alone.
        """
        return self

    def redesigned(self, plan: CodingPlan) -> "Decoder":
        """The same decoder for a plan of other coefficients on the same placement.

        What was designed for a plan is designed again; others stay as they are.
        """
        return self

    def at(self, rho: float | Float[Array, ""]) -> "Decoder":
        """The same decoder where the similarity of partition gradients is ρ.

        What has designs for several similarities (`mixture`) takes the share of each
        that ρ asks for; others stay as they are.
        """
        return self


# Functions of the module: a loop outside `jit` would compile anew at every call.
@partial(jax.jit, inline=True)
def weights_of(decoder: Decoder, plan: CodingPlan, answered: Mask) -> Weights:
    """`decoder.weights(plan, answered)`, compiled once for all of equal structure."""
    return decoder.weights(plan, answered)


@partial(jax.jit, inline=True)
def _coefficients_of(
    decoder: Decoder, plan: CodingPlan, answered: Mask
) -> Coefficients:
    return decoder._coefficients(plan, answered)


@pytree
@dataclass(frozen=True)
class _FromFunction(Decoder):
    function: Callable[[CodingPlan, Mask], Weights] = field(metadata={"static": True})
    label: str = field(metadata={"static": True})
    unbiased: bool | None = field(metadata={"static": True})

    @property
    def is_unbiased(self) -> bool | None:  # type: ignore[override]
        return self.unbiased

    @property
    def name(self) -> str:
        return self.label

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        own = jnp.asarray(self.function(plan, answered))
        if own.shape != answered.shape or jnp.iscomplexobj(own):
            raise ValueError(
                f"function of decoder {self.label!r} must return real weights of the "
                f"mask's shape {answered.shape}, got {own.dtype} of shape {own.shape}"
            )
        # Integers or a mask would take the coefficients a_ij down to integers.
        own = own.astype(jnp.promote_types(own.dtype, float_dtype()))
        return jnp.where(answered, own, 0)


def from_function(
    function: Callable[[CodingPlan, Mask], Weights],
    *,
    is_unbiased: bool | None = False,
    name: str = "custom",
) -> Decoder:
    """A decoder of your own.

    Args:
        function: `function(plan, answered) -> weights`, pure and jit-compatible: masks
            (k, *trials) to weights of the same shape. What it gives a worker that did
            not answer counts as 0.
        is_unbiased: as in `Decoder`.
        name: in print.

    Raises:
        ValueError: in use, weights of another shape or that are not real.

    Example:
        >>> import jgc
        >>> import numpy as np
        >>> mean = from_function(
        ...     lambda plan, answered: answered * (answered.size / answered.sum())
        ... )
        >>> plan = jgc.codes.uncoded([0.1, 0.1], num_partitions=2)
        >>> mean(plan, np.array([True, False])).tolist()
        [2.0, 0.0]
    """
    return _FromFunction(function, name, is_unbiased)
