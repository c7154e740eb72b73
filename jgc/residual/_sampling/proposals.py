"""Which masks to draw where the ones that matter are rare: a mixture of laws.

Masks of independent stragglers are drawn from Q = Σ_m β_m P_m, and a trial counts with
the weight P/Q of its mask, P = P_0 the plan's own law. As β_0 = 1/2, no weight exceeds
2: a mean can need a few more trials than under P, and needs as many fewer as the
masks that carry it are rarer than under Q. The other laws are those under which an
error is met that P would hide (Hesterberg, 1995, "defensive importance sampling"):

rare outcomes: every worker's rarer outcome about as often as a share of two in k, more
    often for workers that carry the fixed decoder's error;
many stragglers: odds of straggling times e^θ, for means of two, four, … standard
    deviations more stragglers than usual, until P hardly reaches them;
lost partitions: P, and all holders of one partition straggle. A partition is chosen as
    often as P loses it, so that the weight needs the number of those lost alone.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.optimize
import scipy.special
from jaxtyping import Array, Bool, Float, Int, UInt32

from jgc._plan import AnyArray, CodingPlan
from jgc.residual._sampling.random_masks import trial_bits

# A fixed decoder's error is a square of sums over workers: it hides no masks unless
# some worker's rarer outcome is rarer than this.
_RARE = 1 / 16

_SHARES = {"nominal": 0.5, "rare": 0.125, "many": 0.25, "lost": 0.125}
_LEVELS = 4  # of many stragglers
_RARE_OUTCOMES = 2.0  # expected of all workers together
_HARDLY_REACHED = 25.0  # nats: e^-25 is 1e-11


class Laws(NamedTuple):
    """The law of each trial: an index, and the partition to lose if it is the last."""

    law: Int[Array, "*trials"]
    partition: Int[Array, "*trials"]


class Proposals(NamedTuple):
    """A mixture of laws, the plan's own first; a pytree of arrays.

    Attributes:
        cumulative: of the laws' shares, as fractions of 2^32; lost partitions, which
            otherwise follow the plan's law, come last.
        share: β of each law, then that of lost partitions.
        offset: log P_m/P of the mask in which nobody answers.
        slope: what each worker's answer adds to it.
        lost_cumulative: of the partitions' chances to be lost, as fractions of 2^32.
        holders: of each partition, its workers numbered from 1; 0 where there are
            fewer.
        expected_lost: E[partitions lost] of those that can be lost and kept.
        always_lost: partitions that are always lost.
    """

    cumulative: UInt32[AnyArray, " laws"]
    share: Float[AnyArray, " laws+1"]
    offset: Float[AnyArray, " laws"]
    slope: Float[AnyArray, "laws k"]
    lost_cumulative: UInt32[AnyArray, " n-1"]
    holders: Int[AnyArray, "holders n"]
    expected_lost: Float[AnyArray, ""]
    always_lost: Int[AnyArray, ""]

    def laws(
        self, words: UInt32[Array, " 2"], block: UInt32[Array, ""], *, size: int
    ) -> Laws:
        """Of a block's trials (draws, lanes)."""
        k = self.slope.shape[1]
        first, second = trial_bits(words, block, num_workers=k, size=size)
        law = (first[..., None] >= jnp.asarray(self.cumulative)).sum(axis=-1)
        ends = jnp.asarray(self.lost_cumulative)
        return Laws(law, jnp.searchsorted(ends, second, side="right"))

    def without_lost(
        self, mask: Bool[Array, "k trials"], laws: Laws
    ) -> Bool[Array, "k trials"]:
        """The mask, less the holders of the partition that a trial is to lose."""
        loses = laws.law == self.cumulative.shape[0]
        k, trials = mask.shape
        holders = jnp.where(loses, jnp.asarray(self.holders)[:, laws.partition], 0)
        worker = jnp.where(holders > 0, holders - 1, k)
        return mask.at[worker, jnp.arange(trials)].set(False, mode="drop")

    def weights(
        self, mask: Bool[Array, "k trials"], lost: Int[Array, " trials"] | None
    ) -> Float[Array, " trials"]:
        """P/Q of each mask, at most 1/β_0.

        Args:
            mask: who answered.
            lost: partitions that nobody who answered holds; None where no law loses
                any.
        """
        slope = jnp.asarray(self.slope)
        ratio = jnp.exp(
            jnp.asarray(self.offset)[:, None]
            + jnp.matmul(slope, mask.astype(slope.dtype), precision="highest")
        )
        density = jnp.matmul(jnp.asarray(self.share)[:-1], ratio, precision="highest")
        if lost is not None:
            density += self.share[-1] * (lost - self.always_lost) / self.expected_lost
        return 1 / density


def has_rare_outcomes(plan: CodingPlan) -> bool:
    """Whether some worker's rarer outcome is rare, but possible."""
    p = np.asarray(plan.straggler_probabilities, np.float64)
    rarer = np.minimum(p, 1 - p)
    return bool(((rarer > 0) & (rarer < _RARE)).any())


def proposals(
    plan: CodingPlan, carried: Float[np.ndarray, " k"], *, is_fixed: bool, dtype: type
) -> tuple[Float[np.ndarray, "laws k"], Proposals]:
    """The laws' straggler probabilities and their mixture, designed in float64.

    Args:
        plan: the code, with the p that masks follow.
        carried: the share of the fixed decoder's error that each worker carries.
        is_fixed: whether the decoder is fixed: then rare outcomes are all to look for.
        dtype: of the weights.
    """
    p = np.asarray(plan.straggler_probabilities, np.float64)
    laws, share = [p], [_SHARES["nominal"]]
    laws.append(_rare_outcomes(p, carried))
    share.append(1 - share[0] if is_fixed else _SHARES["rare"])
    if not is_fixed:
        many = _many_stragglers(p)
        laws += many + [p] * (_LEVELS - len(many))
        share += [_SHARES["many"] / max(len(many), 1)] * len(many)
        share += [0.0] * (_LEVELS - len(many))
    chance, holders, always = _losses(plan)
    expected = chance.sum()
    # Commonly lost partitions are met anyway.
    share.append(_SHARES["lost"] if not is_fixed and 0 < expected < 1 else 0.0)
    shares = np.array(share)
    shares[0] += 1 - shares.sum()
    law = np.stack(laws)
    changes = (p > 0) & (p < 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        straggles = np.where(changes, np.log(law / p), 0)
        answers = np.where(changes, np.log1p(-law) - np.log1p(-p), 0)
    return law, Proposals(
        cumulative=_fractions(shares),
        share=shares.astype(dtype),
        offset=straggles.sum(axis=1).astype(dtype),
        slope=(answers - straggles).astype(dtype),
        lost_cumulative=_fractions(chance / expected if expected > 0 else chance),
        holders=holders[:0] if is_fixed else holders,
        expected_lost=np.asarray(expected if expected > 0 else 1, dtype),
        always_lost=np.asarray(always, np.int32),
    )


def _rare_outcomes(p: np.ndarray, carried: np.ndarray) -> np.ndarray:
    rarer = np.minimum(p, 1 - p)
    each = (carried + 1 / p.size) / 2
    raised = np.where(
        rarer > 0, np.maximum(rarer, np.minimum(_RARE_OUTCOMES * each, 0.5)), 0
    )
    return np.where(p < 0.5, raised, 1 - raised)


def _many_stragglers(p: np.ndarray) -> list[np.ndarray]:
    changes = (p > 0) & (p < 1)
    logit, most = scipy.special.logit(p[changes]), changes.sum()
    found: list[np.ndarray] = []
    at = p[changes]
    for _ in range(_LEVELS):
        mean = at.sum() + max(2 * np.sqrt((at * (1 - at)).sum()), 1.0)
        if mean >= most - 0.1:
            break
        shift = scipy.optimize.brentq(
            lambda x, mean=mean: scipy.special.expit(logit + x).sum() - mean, 0, 800
        )
        at = scipy.special.expit(logit + shift)
        # P reaches that many stragglers with a chance of at most e^-divergence.
        divergence = (
            shift * at.sum()
            - (np.logaddexp(0, logit + shift) - np.logaddexp(0, logit)).sum()
        )
        if divergence > _HARDLY_REACHED:
            break
        law = p.copy()
        law[changes] = at
        found.append(law)
    return found


def _losses(plan: CodingPlan) -> tuple[np.ndarray, np.ndarray, int]:
    """Chances of partitions to be lost, 0 for the certain; holders; how many always."""
    n = plan.num_partitions
    held = np.asarray(plan.edge_coefficient) != 0
    pairs = np.unique(
        np.stack([np.asarray(plan.edge_partition), np.asarray(plan.edge_worker)])[
            :, held
        ],
        axis=1,
    )
    partition, worker = pairs
    chance = np.ones(n)
    p = np.asarray(plan.straggler_probabilities, np.float64)
    np.multiply.at(chance, partition, p[worker])
    position = np.arange(partition.size) - np.searchsorted(partition, partition)
    holders = np.zeros((int(position.max(initial=-1)) + 1, n), np.int32)
    holders[position, partition] = worker + 1
    always = chance == 1
    return np.where(always, 0, chance), holders, int(always.sum())


def _fractions(share: np.ndarray) -> np.ndarray:
    """Where the shares end within 2^32, without the last."""
    ends = np.floor(np.cumsum(share)[:-1] * 2.0**32)
    return np.minimum(ends, 2.0**32 - 1).astype(np.uint32)
