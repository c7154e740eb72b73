"""Intervals of p from rounds that depend on one another."""

import numpy as np
import pytest

from jgc.stragglers import estimation


def records(p, burst, *, rounds, repeats, seed):
    """Who answered (repeats, rounds, k): Markov chains as of `stragglers.markov`."""
    rng = np.random.default_rng(seed)
    draws = rng.uniform(size=(rounds, repeats, p.size))
    late = draws < p
    for t in range(1, rounds):
        late[t] = draws[t] < np.where(late[t - 1], 1 - 1 / burst, p / (1 - p) / burst)
    return ~late.swapaxes(0, 1)


P = np.linspace(0.05, 0.5, 8)
BY_CHANCE = 1 / (1 - P)  # mean bursts of independent rounds
OFTEN = {"repeats": 200, "seed": 1}


@pytest.mark.parametrize("burst", [BY_CHANCE, 4.0, 10.0])
def test_effective_rounds_of_markov_chains(burst):
    masks = records(P, burst, rounds=2000, repeats=20, seed=0)
    r, variance = 1 - 1 / (burst * (1 - P)), P * (1 - P)
    expected = 2000 / ((variance * (1 + r) / (1 - r)).sum() / variance.sum())
    found = [estimation.effective_rounds(record) for record in masks]
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


def test_effective_rounds_at_their_limits():
    rng = np.random.default_rng(0)
    masks = rng.uniform(size=(40, 6)) > 0.3
    assert estimation.effective_rounds(masks[:9]) == 0  # too few to tell
    assert estimation.effective_rounds(np.ones((40, 6), bool)) == 40
    # Who recovers sooner than by chance gets no credit for it.
    (soon,) = records(P, np.maximum(1, P / (1 - P)), rounds=400, repeats=1, seed=0)
    assert estimation.effective_rounds(soon) == 400
    together = np.tile(masks[:, :1], 6)  # of one worker no other round says more
    alone = estimation.effective_rounds(masks[:, :1])
    assert estimation.effective_rounds(together) == pytest.approx(alone)
    half = np.arange(40)[:, None] < 20  # one burst, half as long as the record
    assert estimation.effective_rounds(np.tile(half, 6)) < 3


@pytest.mark.parametrize(
    ("burst", "rounds", "shock", "shock_burst"),
    [
        (None, 30, 0, 1),
        (4.0, 30, 0, 1),
        (4.0, 100, 0, 1),
        (10.0, 100, 0, 1),
        (2.0, 30, 0.1, 1 / 0.9),
        (2.0, 100, 0.1, 5),
    ],
)
def test_intervals_cover(burst, rounds, shock, shock_burst):
    """Bursts, and shocks to all workers, bursty ones too; counting fell to 0.39."""
    masks = records(P, burst or BY_CHANCE, rounds=rounds, **OFTEN)
    if shock:
        alone = np.array([shock])
        masks &= records(alone, shock_burst, rounds=rounds, repeats=200, seed=2)
    truth = 1 - (1 - P) * (1 - shock)

    def covered(interval):
        low, high = np.moveaxis([interval(record) for record in masks], 1, 0)
        return ((low <= truth) & (truth <= high)).mean()

    def counted(record):
        return estimation.credible_interval((~record).sum(0), rounds=rounds)

    assert covered(estimation.record_interval) > 0.9
    if burst is not None and burst >= 4:
        assert covered(counted) < 0.72


def test_intervals_of_independent_rounds_are_not_much_wider():
    masks = records(P, BY_CHANCE, rounds=200, repeats=50, seed=3)

    def width(interval):
        return np.mean([np.subtract(*interval(record)[::-1]) for record in masks])

    counted = width(lambda m: estimation.credible_interval((~m).sum(0), rounds=200))
    assert counted < width(estimation.record_interval) < 1.15 * counted


def test_five_rounds_say_nothing_of_the_next_five():
    """A load common to all workers: a fitted prior is sure of a mean that moves on."""
    rng = np.random.default_rng(0)
    load = rng.normal(size=(10, 1))
    late = load + 2 * rng.normal(size=(10, 256)) > 3.2
    seen, next_ones = late[:5], late[5:]
    prior = estimation.fit_beta_prior(seen.sum(0), rounds=5)
    low, high = estimation.credible_interval(seen.sum(0), rounds=5, prior=prior)
    off = abs(next_ones.mean() - seen.mean())
    assert (high - low).mean() / 2 < off / 5
    low, high = estimation.record_interval(~seen)
    assert (low == 0).all()
    assert (high == 1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: estimation.effective_rounds(np.ones(4, bool)), r"got shape \(4,\)"),
        (lambda: estimation.effective_rounds(np.ones((4, 2))), "dtype float64"),
        (lambda: estimation.record_interval(np.ones((0, 2), bool)), "neither of them"),
        (
            lambda: estimation.record_interval(np.ones((20, 2), bool), level=1.0),
            "strictly between",
        ),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
