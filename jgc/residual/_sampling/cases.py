"""Plans made ready to be sampled: laws to draw from, tables, padding to one size."""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from jgc._plan import CodingPlan
from jgc.decoders import Decoder
from jgc.gradients import Gradients
from jgc.residual._exact import worker_shares
from jgc.residual._sampling.blocks import Case, Sampling, variables_of_all_masks
from jgc.residual._sampling.control_variates import Combination
from jgc.residual._sampling.proposals import has_rare_outcomes, proposals
from jgc.residual._sampling.random_masks import thresholds
from jgc.residual._sampling.squared_error import error_evaluator
from jgc.residual._sampling.stacking import equal_edge_counts
from jgc.stragglers import StragglerModel

# Up to here errors of all 2^k masks are tabulated, if there are more trials than that.
_MOST_TABULATED = 16


def cases_of(
    plans: Sequence[CodingPlan],
    related: Gradients,
    decoder: Decoder,
    sampling: Sampling,
    *,
    num_trials: int,
) -> Case:
    """The plans, stacked; their samples are plain errors until someone says else."""
    is_fixed = sampling.is_fixed
    # Fixed decoders and random bits are 32-bit by name; what decides ranks and what
    # is summed over trials is float64, whatever the user's setting.
    dtype = np.float32 if is_fixed else np.float64
    padded = equal_edge_counts(plans)
    laws = [np.asarray(one.straggler_probabilities, np.float64)[None] for one in plans]
    mixture = None
    if sampling.model is None and (
        not is_fixed or any(has_rare_outcomes(one) for one in plans)
    ):
        designed = [
            proposals(one, worker_shares(one, related), is_fixed=is_fixed, dtype=dtype)
            for one in plans
        ]
        laws = [law for law, _ in designed]
        mixture = _stacked([one for _, one in designed])
    cases = Case(
        evaluator=_stacked(
            [error_evaluator(one, related, decoder, dtype=dtype) for one in padded]
        ),
        limits=_stacked([thresholds(law) for law in laws]),
        proposals=mixture,
        table=None,
        combination=Combination.plain(len(plans), sampling.num_variables),
    )
    # The error is a function of the mask: with few workers, each mask's is found once.
    # Only a fixed decoder's error that is a single sum is faster than the table.
    k, is_one_sum = plans[0].num_workers, is_fixed and related.similarity == 1
    if k <= _MOST_TABULATED and num_trials >= 1 << k and not is_one_sum:
        with jax.enable_x64(True):
            cases = cases._replace(table=variables_of_all_masks(cases, sampling))
    return cases


def is_random(
    plans: Sequence[CodingPlan],
    cases: Case,
    model: StragglerModel | None,
    *,
    squared_norm: float,
) -> Bool[np.ndarray, " plans"]:
    """Whether a plan's error depends on chance, as far as can be seen."""
    p = [np.asarray(plan.straggler_probabilities, np.float64) for plan in plans]
    if model is not None:
        known = None if model.probabilities is None else model.probabilities()
        p = [np.full(plans[0].num_workers, 0.5) if known is None else known] * len(p)
    return np.array(
        [
            _is_random(
                plan,
                each,
                None if cases.table is None else cases.table[i],
                squared_norm,
            )
            for i, (plan, each) in enumerate(zip(plans, p, strict=True))
        ]
    )


def _is_random(
    plan: CodingPlan, p: np.ndarray, table: object, squared_norm: float
) -> bool:
    has_data = np.zeros(plan.num_workers, bool)
    has_data[np.asarray(plan.edge_worker)[np.asarray(plan.edge_coefficient) != 0]] = 1
    if not (has_data & (p > 0) & (p < 1)).any():
        return False
    if table is None:
        return True
    weight, error, *_ = np.asarray(table)
    index = np.arange(error.size)[:, None] >> np.arange(p.size)
    possible = (np.where(index & 1, p < 1, p > 0)).all(axis=1) & (weight > 0)
    errors = error[possible] / weight[possible]
    rounding = max(1e-9 * np.abs(errors).max(), 1e-18 * squared_norm)
    return bool(np.ptp(errors) > rounding)


_Tree = TypeVar("_Tree")


def _stacked(trees: Sequence[_Tree]) -> _Tree:
    """Leaves along a new first axis; short ones end in zeros: no edges or holders."""

    def stack(*leaves: ArrayLike) -> np.ndarray:
        longest = max(np.shape(leaf)[:1] for leaf in leaves)
        padded = [
            np.pad(leaf, [(0, longest[0] - leaf.shape[0])] + [(0, 0)] * (leaf.ndim - 1))
            if longest
            else leaf
            for leaf in map(np.asarray, leaves)
        ]
        return np.stack(padded)

    return jax.tree.map(stack, *trees)
