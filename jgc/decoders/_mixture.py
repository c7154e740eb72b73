"""Convex combinations of decoders: between designs, and between unbiased and not."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from jgc import _checks
from jgc._plan import AnyArray, CodingPlan
from jgc._pytree import pytree
from jgc.decoders._decoder import Decoder, Mask, Weights, float_dtype
from jgc.decoders._tilted.decoder import Tilted, combined


@pytree
@dataclass(frozen=True, eq=False)
class Mixture(Decoder):
    """Σ_h share_h v_h(I): unbiased wherever all its members are.

    Shares are data: a training state can carry them, and another choice compiles
    nothing again.

    Attributes:
        members: the decoders.
        shares: of each (H,), at least 0 and adding up to 1.
        is_one_solve: whether members are designs over one projection.
    """

    members: tuple[Decoder, ...]
    shares: Float[AnyArray, " H"]
    is_one_solve: bool = field(default=False, metadata={"static": True})

    @property
    def is_fixed(self) -> bool:  # type: ignore[override]
        return all(member.is_fixed for member in self.members)

    @property
    def is_unbiased(self) -> bool | None:  # type: ignore[override]
        known = {member.is_unbiased for member in self.members}
        return False if False in known else None if None in known else True

    @property
    def name(self) -> str:
        names = dict.fromkeys(member.name for member in self.members)
        return "mixture of " + " and ".join(names)

    @property
    def follows_similarity(self) -> bool:  # type: ignore[override]
        """Whether all members are designs for similarities, and not all for one.

        Seen on the host: under `jit` members have the gradients that were traced.
        """
        return (
            not self._undesigned()
            and len({float(m.similarity) for m in self._tilted()}) > 1
        )

    def check(self, plan: CodingPlan) -> None:
        for member in self.members:
            member.check(plan)

    def weights(self, plan: CodingPlan, answered: Mask) -> Weights:
        shares = jnp.asarray(self.shares, float_dtype())
        if self.is_one_solve:
            return _of_one_solve(self.members, shares, answered)
        each = [member.weights(plan, answered) for member in self.members]
        return jnp.tensordot(shares, jnp.stack(each), axes=1)

    def redesigned(self, plan: CodingPlan) -> Decoder:
        members = tuple(member.redesigned(plan) for member in self.members)
        return replace(self, members=members)

    def with_shares(self, shares: Float[AnyArray, " H"]) -> "Mixture":
        """The same with other shares, which may be traced and are not checked."""
        return replace(self, shares=shares)

    def at(self, rho: float | Float[AnyArray, ""]) -> "Mixture":
        """Between the two designs on either side of a similarity ρ, maybe traced.

        Members must be designs for similarities; their order does not matter. Beyond
        the last of them it is that one.

        Raises:
            ValueError: a member is no such design.
        """
        for member in self._undesigned():
            raise ValueError(
                f"at(ρ) needs members designed for a similarity, got {member.name!r}"
            )
        knots = [member.similarity for member in self._tilted()]
        return self.with_shares(_hats(knots, rho))

    def _tilted(self) -> list[Tilted]:
        return [member for member in self.members if isinstance(member, Tilted)]

    def _undesigned(self) -> list[Decoder]:
        return [
            member
            for member in self.members
            if not isinstance(member, Tilted)
            or member.recipe.gradients.similarity is None
        ]


def mixture(members: Sequence[Decoder], shares: ArrayLike | None = None) -> Mixture:
    """A convex combination of decoders of one plan.

    Of designs for several similarities it serves every similarity between them, exactly
    unbiased: `mixture(designs).at(rho)`, with ρ from `jgc.gradients.following`. Weights
    of iteration t must come from iterations before t only. Designs of one plan share
    one solve.

    Args:
        members: decoders of one track, at least one.
        shares: of each, at least 0, adding up to 1; by default equal.

    Raises:
        ValueError: no such decoders or shares.

    Example:
        >>> import jgc
        >>> plan = jgc.codes.interval([0.2, 0.5, 0.1], num_partitions=3)
        >>> best = jgc.decoders.best_unbiased
        >>> designs = [best(plan, gradients=rho) for rho in (0.0, 0.5, 1.0)]
        >>> mixture(designs).at(0.25).shares.tolist()
        [0.5, 0.5, 0.0]
    """
    members = tuple(members)
    if not members:
        raise ValueError("members must be at least one decoder, got none")
    for member in members:
        if not isinstance(member, Decoder) or member.num_tracks != 1:
            raise ValueError(f"members must be decoders of one track, got {member!r}")
    if shares is None:
        shares = np.full(len(members), 1 / len(members))
    own = _checks.within("shares", shares, 0, 1)
    if own.size != len(members) or abs(own.sum() - 1) > 1e-6:
        raise ValueError(
            f"shares must be {len(members)} numbers that add up to 1, got {shares!r}"
        )
    return Mixture(members, own, _have_one_projection(members))


def between(unbiased: Decoder, biased: Decoder, t: float) -> Mixture:
    """(1 − t)·unbiased + t·biased: a knob from no bias to the least error.

    For aligned gradients this is `trade_off`; for others `trade_off` has the least
    variance of all decoders with the same cost of bias, and this is within its reach
    without another design.

    Args:
        unbiased: such as `best_unbiased(plan, …)`.
        biased: such as `conditional_least_squares(plan, …)`.
        t: in [0, 1].

    Raises:
        ValueError: t outside [0, 1].

    Example:
        >>> import jgc
        >>> plan = jgc.codes.uncoded([0.5, 0.5], num_partitions=2)
        >>> best = jgc.decoders.best_unbiased(plan, gradients=0.0)
        >>> least = jgc.decoders.conditional_least_squares(plan, gradients=0.0)
        >>> between(best, least, 0.5)(plan, np.array([True, False])).round(4).tolist()
        [1.5, 0.0]
    """
    t = _checks.scalar("t", t, 0, 1)
    return mixture([unbiased, biased], [1 - t, t])


@jax.jit
def _hats(
    knots: list[float | Array], rho: float | Float[Array, ""]
) -> Float[Array, " H"]:
    """What linear interpolation between the knots gives each of them at ρ.

    Knots are the designs' own data: what is static of a design is that of the first one
    that was traced.
    """
    places = jnp.stack([jnp.asarray(knot, float_dtype()) for knot in knots])
    order = jnp.argsort(places)
    hats = jnp.eye(places.size)[:, order]
    return jax.vmap(lambda hat: jnp.interp(rho, places[order], hat))(hats)


def _have_one_projection(members: tuple[Decoder, ...]) -> bool:
    """Whether all are designs over equal projections, seen on the host."""
    if len(members) < 2:
        return False
    trees = [one.projection if isinstance(one, Tilted) else None for one in members]
    if None in trees or len({jax.tree.structure(tree) for tree in trees}) > 1:
        return False
    leaves = [jax.tree.leaves(tree) for tree in trees]
    return all(all(map(np.array_equal, leaves[0], other)) for other in leaves)


def _of_one_solve(
    members: tuple[Decoder, ...], shares: Float[Array, " H"], answered: Mask
) -> Weights:
    tilted = [member for member in members if isinstance(member, Tilted)]
    projection, dtype = tilted[0].projection, shares.dtype
    common = next((one.common for one in tilted if one.common is not None), None)
    flat = answered.reshape(answered.shape[0], -1)
    solution = combined(
        projection,
        jnp.stack([jnp.asarray(one.tilt, dtype) for one in tilted]),
        None if common is None else jnp.asarray(common, dtype),
        jnp.stack(
            [
                jnp.asarray(0 if one.common is None else one.level, dtype)
                for one in tilted
            ]
        ),
        jnp.stack([jnp.asarray(one.similarity, dtype) for one in tilted]),
        flat,
    )
    mixed = jnp.einsum("h,hit->it", shares, solution)
    return projection.weights(mixed, flat).reshape(answered.shape)
