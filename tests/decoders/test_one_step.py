"""One-step decoding, as [8] defines it for BGC and fractional repetition."""

import jax
import numpy as np
import pytest

import jgc
from jgc import codes, decoders, residual
from tests.decoders.helpers import all_masks

P = np.linspace(0.2, 0.6, 8)
BGC = codes.bernoulli_placement(
    P, num_partitions=8, key=jax.random.key(3), replication=3
)


def test_the_definition_on_every_mask():
    """err_1 = ‖k/(r d) A_S 1 − 1‖² of [8], and its optimum is no larger."""
    masks = all_masks(8)
    one_step = decoders.one_step(replication=3)
    weights = np.asarray(one_step(BGC, masks))
    answered = masks.sum(0)
    expected = masks * 8 / (3 * np.maximum(answered, 1))
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    own = np.asarray(decoders.one_step()(BGC, masks))
    np.testing.assert_allclose(own * BGC.load, weights * 3, rtol=1e-6)

    def errors(decoder):
        c = np.asarray(decoder.coefficients(BGC, masks), np.float64)
        return ((c - 1) ** 2).sum(0)

    best = errors(decoders.least_squares)
    assert (best <= errors(one_step) + 1e-4).all()
    assert best.mean() < 0.8 * errors(one_step).mean()


def test_transforms_give_the_same_weights():
    masks = all_masks(8)[:, ::5]
    one_step = decoders.one_step(replication=3)
    found = one_step(BGC, masks)
    jitted = jax.jit(lambda decoder, plan, masks: decoder(plan, masks))
    np.testing.assert_array_equal(jitted(one_step, BGC, masks), found)
    mapped = jax.vmap(one_step, in_axes=(None, 1), out_axes=1)(BGC, masks)
    np.testing.assert_allclose(mapped, found, rtol=1e-6)
    assert not one_step.is_fixed


def test_equal_workers_and_regular_placements_lose_only_what_nobody_brings():
    p = np.full(6, 0.4)
    plan = codes.fractional_repetition(p, num_partitions=6, replication=2)
    masks = all_masks(6)
    chance = np.prod(np.where(masks, 1 - p[:, None], p[:, None]), axis=0)
    c = np.asarray(decoders.one_step().coefficients(plan, masks), np.float64)
    np.testing.assert_allclose(c @ chance, 1 - 0.4**6, rtol=1e-6)


def test_weights_of_1_are_the_papers_and_worse_where_many_answer():
    """The paper counts a partition (1 − p) d times; for equal gradients that is all."""
    p = np.full(8, 0.1)
    plan = codes.bernoulli_placement(
        p, num_partitions=8, key=jax.random.key(3), replication=3
    )

    def error(decoder):
        return residual.enumerate_masks(plan, decoder=decoder, gradients=1.0).relative

    load = plan.load
    paper = error(decoders.fixed)
    assert paper > (0.9 * load - 1) ** 2  # the square of the bias alone
    assert error(decoders.one_step()) < 0.01
    assert paper == pytest.approx(residual.exact(plan).relative, rel=1e-5)


@pytest.mark.wrong_types
def test_refusals():
    interval = codes.interval(P, num_partitions=8)
    with pytest.raises(ValueError, match="sums of gradients, a_ij = 1; interval has"):
        decoders.one_step()(interval, np.ones(8, bool))
    for value in (0, -1.0, np.nan, "2"):
        with pytest.raises(ValueError, match="replication must be"):
            decoders.one_step(replication=value)
    idle = jgc.CodingPlan.from_edges([], [], [], p=[0.5], num_partitions=1)
    with pytest.raises(ValueError, match="holds nothing"):
        decoders.one_step()(idle, np.ones(1, bool))
