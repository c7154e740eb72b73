"""Messages of single partitions: what they add up to, and that they cost no error."""

import numpy as np
import pytest

from jgc import CodingPlan, codes, decoders, residual, stragglers
from tests.codes.table import KEY, P, every_code
from tests.decoders import reference


@every_code
def test_all_of_them_are_the_whole(code):
    plan = code.make(P)
    late = np.random.default_rng(0).uniform(0.05, 0.6, plan.num_edges)
    for parts in (codes.split(plan), codes.split(plan, p=late)):
        sender = np.arange(plan.num_workers)[:, None] == parts.worker
        np.testing.assert_allclose(
            sender @ parts.plan.encoding_matrix(), plan.encoding_matrix()
        )
        # The fixed weights decode to the same in the mean.
        np.testing.assert_allclose(sender @ parts.plan.alpha(), plan.alpha())
        last = np.append(np.diff(parts.worker) > 0, True)
        np.testing.assert_allclose(
            parts.share[last] * plan.num_partitions,
            plan.batch_sizes[plan.batch_sizes > 0],
        )


def test_holders_of_a_partition_come_to_it_at_different_times():
    plan = codes.fractional_repetition([0.1] * 6, num_partitions=6, replication=3)
    parts = codes.split(plan)
    turns = parts.plan.edge_partition.reshape(6, 3)
    for group in (turns[:3], turns[3:]):
        for turn in group.T:
            assert len(set(turn)) == 3
    # Shared ends of neighbours: first of the one, last of the other.
    line = codes.split(codes.interval([0.3] * 4, num_partitions=6))
    order = [line.plan.edge_partition[line.worker == i].tolist() for i in range(4)]
    assert order == [[0, 1], [1, 2], [3, 4], [4, 5]]


def _nested(rng, parts):
    """Independent workers that are cut off after any number of their messages."""
    masks, probability = np.zeros((1, parts.worker.size), bool), np.ones(1)
    for i in np.unique(parts.worker):
        own = np.flatnonzero(parts.worker == i)
        chance = rng.dirichlet(np.full(own.size + 1, 0.7))
        cut = np.arange(own.size) < np.arange(own.size + 1)[:, None]
        before = len(masks)
        masks = np.repeat(masks, len(cut), axis=0)
        masks[:, own] = np.tile(cut, (before, 1))
        probability = np.outer(probability, chance).ravel()
    return stragglers.Outcomes(masks, probability)


def _model(known):
    return stragglers.StragglerModel(
        lambda key: (), lambda state, key: (None, state), outcomes=lambda: known
    )


@pytest.mark.parametrize("seed", range(5))
def test_never_worse_than_dropping_what_is_not_whole(seed):
    """Any law of who is cut off where, any code that has an unbiased decoder."""
    rng = np.random.default_rng(seed)
    k, n = 4, 4
    rows = np.where(rng.random((k, n)) < 0.5, rng.uniform(-0.5, 1.5, (k, n)), 0)
    rows[0] += 1 - rows.sum(axis=0)  # all messages together are the sum of all
    # Zeros are edges too: all codes have one shape, and compile once.
    edges = np.indices((k, n)).reshape(2, -1)
    p = np.full(k, 0.5)
    plan = CodingPlan.from_edges(*edges, rows.ravel(), p=p, num_partitions=n)
    parts = codes.split(plan)
    known = _nested(rng, parts)
    last = np.append(np.diff(parts.worker) > 0, True)
    whole = np.zeros((len(known.masks), k), bool)
    whole[:, parts.worker[last]] = known.masks[:, last]
    for rho in (0.0, float(rng.random())):
        gram = (1 - rho) * np.eye(n) + rho
        found = [
            decoders.best_unbiased(one, gradients=rho, model=_model(law)).design.error
            for one, law in (
                (plan, stragglers.Outcomes(whole, known.probability)),
                (parts.plan, known),
            )
        ]
        expected = [
            reference.best_unbiased(matrix, gram, masks.T, known.probability)[1]
            for matrix, masks in (
                (rows, whole),
                (parts.plan.encoding_matrix(), known.masks),
            )
        ]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert found[1] <= found[0] * (1 + 1e-9)
    assert found[1] < 0.95 * found[0]  # and here better


@pytest.mark.parametrize(
    "plan",
    [
        codes.interval(P, num_partitions=8),
        codes.fractional_repetition(P, num_partitions=6, replication=2),
        codes.stochastic(P, num_partitions=6, replication=2, key=KEY),
    ],
    ids=lambda plan: plan.name,
)
def test_decoders_of_a_work_law_are_exact(plan):
    """The design's error is that of its outcomes, and its p those of the parts."""
    parts = codes.split(plan)
    model = stragglers.at_deadline(
        stragglers.in_parts(
            stragglers.shifted_exponential(np.linspace(0.5, 2, 6), shift=0.4),
            worker=parts.worker,
            share=parts.share,
            work_fraction=0.6,
        ),
        deadline=1.5,
    )
    decoder = decoders.best_unbiased(parts.plan, gradients=0.3, model=model)
    np.testing.assert_allclose(decoder.design.bias, 0, atol=1e-9)
    found = residual.enumerate_masks(
        parts.plan, decoder=decoder, model=model, gradients=0.3
    )
    assert found.mean == pytest.approx(decoder.design.error, rel=1e-6)
    # The fixed weights by their closed form, with the law's own p.
    own = codes.split(plan, p=model.probabilities()).plan
    closed = residual.exact(own, gradients=0.3, covariance=model.covariance())
    found = residual.enumerate_masks(own, model=model, gradients=0.3)
    assert found.mean == pytest.approx(closed.mean, rel=1e-9)


@pytest.mark.parametrize(
    ("p", "message"), [([0.5], "each of the 7 messages, got 1"), ([1.5] * 7, "p must")]
)
def test_bad_probabilities(p, message):
    plan = codes.uncoded(P, num_partitions=7)
    with pytest.raises(ValueError, match=message):
        codes.split(plan, p=p)


def test_outcomes_must_be_known_and_fit():
    plan = codes.uncoded([0.1, 0.2], num_partitions=2)
    with pytest.raises(ValueError, match="must know its outcomes"):
        residual.enumerate_masks(plan, model=stragglers.bernoulli([0.1, 0.2]))
    known = stragglers.Outcomes(np.ones((1, 3), bool), np.ones(1))
    with pytest.raises(ValueError, match="plan's 2 workers, got 3"):
        residual.enumerate_masks(plan, model=_model(known))
