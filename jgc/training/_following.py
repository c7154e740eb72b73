"""Following the workers: p estimated from who answered, and the code re-designed."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt32

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.design import redesign
from jgc.gradients import GradientsLike, common
from jgc.stragglers.estimation import Estimator

_HALF_COMMON = common(0.5)

# What a re-design changes; the edges and the sizes stay.
_CHANGING = ("straggler_probabilities", "edge_coefficient", "weights")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Following:
    """How p is followed.

    Attributes:
        estimator: of `jgc.stragglers.estimation`, one that observes masks.
        every: iterations between looks at p̂.
        tolerance: see `jgc.design.redesign`.
        gradients: see `jgc.design.redesign`.
    """

    estimator: Estimator
    every: int = 10
    tolerance: float = 0.1
    gradients: GradientsLike = _HALF_COMMON

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            ValueError: one is out of its range.
        """
        _checks.count("every", self.every)
        _checks.scalar("tolerance", self.tolerance, low=0)


class CodeState(NamedTuple):
    """The code in use and what was seen so far, as arrays that a checkpoint can hold.

    Attributes:
        bits: float64 coefficients of the plan as pairs of uint32: JAX would round them,
            and a resumed run would not go on exactly.
        estimate: of the estimator.
        rounds: observed.
    """

    bits: dict[str, UInt32[Any, " m"]]
    estimate: Any
    rounds: Int[Array, ""]


class CodeInUse:
    """The plan and the decoder of each iteration of one run."""

    def __init__(
        self, plan: CodingPlan, decoder: Decoder, following: Following | None
    ) -> None:
        """The code that the run begins with, and how it is followed if it is."""
        self._following = following
        # On the host: with several processes, what is the same on all is no array of
        # one of them.
        plan, decoder = jax.tree.map(np.asarray, (plan, decoder))
        self._first = plan, decoder
        self._bits: Any = None  # of what `_current` was made of
        self._current = plan, decoder

    def init(self) -> Any:
        """Nothing seen, and the plan as designed; () if nothing is followed."""
        if self._following is None:
            return ()
        estimate = self._following.estimator.init()
        return CodeState(_bits(self._first[0]), estimate, jnp.zeros((), jnp.int32))

    def of(self, code: Any) -> tuple[CodingPlan, Decoder]:
        """The plan and the decoder in use, with the training state's `code`."""
        if self._following is not None and code.bits is not self._bits:
            plan, decoder = self._first
            values: dict[str, Any] = {
                name: np.asarray(bits).view(np.float64)
                for name, bits in code.bits.items()
            }
            plan = dataclasses.replace(plan, **values)
            again = jax.tree.map(np.asarray, decoder.redesigned(plan))
            self._bits, self._current = code.bits, (plan, again)
        return self._current

    def observe(self, code: Any, answered: Bool[np.ndarray, " k"]) -> Any:
        """Takes one iteration's mask in; re-designs when p̂ has moved enough."""
        following = self._following
        if following is None:
            return code
        estimate = following.estimator.update(code.estimate, jnp.asarray(answered))
        rounds, bits = code.rounds + 1, code.bits
        if int(rounds) % following.every == 0:
            plan = self.of(code)[0]
            found = redesign(
                plan,
                np.asarray(following.estimator.probabilities(estimate), np.float64),
                tolerance=following.tolerance,
                gradients=following.gradients,
            )
            bits = code.bits if found is plan else _bits(found)
        return CodeState(bits, estimate, rounds)


def _bits(plan: CodingPlan) -> dict[str, UInt32[np.ndarray, " m"]]:
    return {
        name: np.ascontiguousarray(getattr(plan, name), np.float64).view(np.uint32)
        for name in _CHANGING
    }
