"""Following the workers: p estimated from who answered, and the code re-designed."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt32

from jgc import _checks
from jgc._plan import CodingPlan
from jgc.design import redesign
from jgc.gradients import GradientsLike, common
from jgc.stragglers.estimation import Estimator

_HALF_COMMON = common(0.5)

# What a re-design changes; the edges and the sizes stay.
_CHANGING = ("straggler_probabilities", "edge_coefficient", "weights")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adaptation:
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

    bits: dict[str, UInt32[np.ndarray, " m"]]
    estimate: Any
    rounds: Int[Array, ""]


def init_code_state(adaptation: Adaptation, plan: CodingPlan) -> CodeState:
    """Nothing seen, and the plan as designed."""
    return CodeState(_bits(plan), adaptation.estimator.init(), jnp.zeros((), jnp.int32))


def plan_in_use(state: CodeState, placement: CodingPlan) -> CodingPlan:
    """The plan in use.

    Args:
        state: of the code.
        placement: any plan with its edges.
    """
    values: dict[str, Any] = {
        name: np.asarray(bits).view(np.float64) for name, bits in state.bits.items()
    }
    return dataclasses.replace(placement, **values)


def observe(
    adaptation: Adaptation,
    state: CodeState,
    plan: CodingPlan,
    mask: Bool[np.ndarray, " k"],
) -> CodeState:
    """Takes one iteration's mask in; re-designs when p̂ has moved enough.

    Args:
        adaptation: how.
        state: before.
        plan: `plan_in_use` of it.
        mask: I_i, who answered in time.
    """
    estimate = adaptation.estimator.update(state.estimate, jnp.asarray(mask))
    rounds = state.rounds + 1
    bits = state.bits
    if int(rounds) % adaptation.every == 0:
        p = np.asarray(adaptation.estimator.probabilities(estimate), np.float64)
        found = redesign(
            plan,
            p,
            tolerance=adaptation.tolerance,
            gradients=adaptation.gradients,
        )
        bits = _bits(found)
    return CodeState(bits, estimate, rounds)


def _bits(plan: CodingPlan) -> dict[str, UInt32[np.ndarray, " m"]]:
    return {
        name: np.ascontiguousarray(getattr(plan, name), np.float64).view(np.uint32)
        for name in _CHANGING
    }
