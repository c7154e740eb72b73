"""A deadline that follows the workers' speed."""

import os
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc import codes, stragglers
from jgc.design import rules
from jgc.design.rules import MEMORY, Past

P = np.full(6, 0.2)
UNCODED = codes.uncoded(P, num_partitions=6)
PAIRS = codes.fractional_repetition(P, num_partitions=6, replication=2)
SECONDS = np.array([3.0, 1.0, 2.0, 9.0, 4.0, 5.0])
FIVE = rules.first(UNCODED, 5)


def adaptive(goal=FIVE, *, plan=UNCODED, least=2, at_most=100.0, **options):
    return rules.adaptive(plan, goal, least=least, at_most=at_most, **options)


def past_of(rows, waited):
    """Rounds of which all is known that `rows` has; NaN where it is not."""
    past = Past.nothing(len(rows[0]))
    past.seconds[-len(rows) :], past.waited[-len(rows) :] = rows, waited
    return past


@partial(jax.jit, static_argnames="size")
def deadlines(rule, rows, size):
    """The deadline of each round of (runs, T, k), and when it reached the goal."""

    def round(past, row):
        now = rule.after(past)
        waited, answered = now(row)
        return past.then(row, answered, waited), (now.until, rule.goal.stop(row))

    def run(rows):
        nothing = jax.tree.map(jnp.float32, Past.nothing(size))
        return jax.lax.scan(round, nothing, rows)[1]

    return jax.vmap(run)(rows)


def rounds_until_it_fits(rule, rows, *, within):
    """After the speed has halved in the middle, of each run (runs, T, k)."""
    middle = rows.shape[1] // 2
    halved = rows * np.where(np.arange(rows.shape[1]) < middle, 1, 2)[:, None]
    found, goal = map(
        np.asarray, deadlines(rule, halved.astype(np.float32), rows.shape[2])
    )
    usual = np.median(goal[:, middle:])
    fits = np.abs(np.log(found[:, middle:] / usual)) < np.log(1 + within)
    assert fits.any(1).all()
    return fits.argmax(1), found, usual


def test_it_follows_a_slowdown_and_cuts_off_a_slow_round():
    rows = np.stack([SECONDS] * 6 + [2 * SECONDS] * 6)
    rows[3] *= 5
    waited = rules.play(adaptive(), rows).waited
    # Five answered after 5 s; in the slow round the floor, two, after 10.
    np.testing.assert_allclose(waited[:6], [5, 5, 5, 10, 5, 5])
    np.testing.assert_allclose(waited[6:], [5, 5, 10, 10, 10, 10])


def test_the_floor_is_waited_for_and_never_beyond_the_limit():
    rule = adaptive(least=4, at_most=6.0).after(past_of([SECONDS] * 3, [5.0] * 3))
    time, answered = rule(1.2 * SECONDS)
    assert (float(time), int(answered.sum())) == (pytest.approx(5.0), 4)
    time, answered = rule(1.4 * SECONDS)
    assert (float(time), int(answered.sum())) == (pytest.approx(5.6), 4)
    time, answered = rule(10 * SECONDS)
    assert (float(time), int(answered.sum())) == (6.0, 0)


def test_without_a_past_the_goal_is_waited_for():
    assert float(adaptive()(SECONDS)[0]) == 5.0
    assert float(adaptive(at_most=2.5)(SECONDS)[0]) == 2.5
    nothing = adaptive().after(Past.nothing(6))
    assert float(nothing(SECONDS)[0]) == 5.0


def test_answers_that_came_late_count_as_they_were():
    """Not known: in proportion to the floor; known: as it was."""
    was = [*[SECONDS] * 2, *[np.where(SECONDS < 5, 2 * SECONDS, np.nan)] * 3]
    waited = [5.0] * 2 + [8.0] * 3
    assert float(adaptive().after(past_of(was, waited)).until) == 10.0
    late = [*was[:2], *[np.where(np.isnan(row), 25.0, row) for row in was[2:]]]
    assert float(adaptive().after(past_of(late, waited)).until) == 25.0


def test_a_goal_that_cannot_be_reached_ends_at_the_limit():
    gone = np.where(np.arange(6) < 2, np.inf, SECONDS)
    waited = rules.play(adaptive(at_most=20.0), np.stack([SECONDS] * 9 + [gone] * 25))
    assert (waited.waited <= 20).all()
    assert (np.diff(waited.waited[9:]) >= 0).all()  # by a quarter a round
    assert waited.waited[-1] == 20


@pytest.mark.parametrize("least", [2, 4])
@pytest.mark.parametrize("scale", [0.2, 1.0])
def test_half_the_speed_of_a_model(least, scale):
    rows = 1 + scale * np.random.default_rng(0).exponential(size=(100, 60, 10))
    plan = codes.uncoded(np.full(10, 0.2), num_partitions=10)
    rule = adaptive(rules.first(plan, 8), plan=plan, least=least)
    rounds, found, usual = rounds_until_it_fits(rule, rows, within=0.4)
    assert rounds.max() <= 5
    assert np.median(found[:, 35:]) == pytest.approx(usual, rel=0.1)
    assert np.median(found[:, 10:30]) == pytest.approx(usual / 2, rel=0.1)


@pytest.mark.skipif("JGC_TRACES" not in os.environ, reason="no traces")
def test_half_the_speed_of_a_trace():
    path = Path(os.environ["JGC_TRACES"]) / "lambda-cnn-canada-load0.5.csv"
    recorded = stragglers.load_trace(path).latencies
    starts = [np.roll(recorded, shift, axis=0) for shift in range(recorded.shape[0])]
    k = recorded.shape[1]
    plan = codes.uncoded(np.full(k, 0.1), num_partitions=k)
    rule = adaptive(rules.first(plan, int(0.9 * k)), plan=plan, least=k // 2)
    rounds, _, _ = rounds_until_it_fits(rule, np.stack(starts), within=0.4)
    assert rounds.max() <= 5


def test_stragglers_of_a_deadline_that_adapts():
    rows = 1 + np.random.default_rng(1).exponential(size=(400, 6))
    rows[200:] *= 4
    model = stragglers.replay(stragglers.trace(rows))
    drawn = rules.as_stragglers(model, adaptive())

    def step(state, key):
        answered, state = drawn.sample(state, key)
        return state, answered

    keys = jax.random.split(jax.random.key(0), 400)
    masks = jax.lax.scan(step, drawn.init(jax.random.key(1)), keys)[1]
    np.testing.assert_array_equal(masks, rules.play(adaptive(), rows).answered)
    fast, slow = np.asarray(masks)[:200].mean(), np.asarray(masks)[210:].mean()
    assert fast == pytest.approx(slow, abs=0.05)


def test_others_do_not_mind_the_past_and_combined_ones_hand_it_on():
    assert not rules.coverage(PAIRS).is_adaptive
    past = past_of([SECONDS] * 3, [5.0] * 3)
    assert FIVE.after(past) is FIVE
    both = rules.earliest(adaptive(), rules.deadline(UNCODED, 4.5))
    assert both.is_adaptive
    assert float(both.after(past)(SECONDS)[0]) == 4.5
    assert float(both.after(past_of([SECONDS / 2] * 3, [2.5] * 3))(SECONDS)[0]) == 2.5


def test_workers_that_cannot_be_interrupted_are_waited_for_by_the_same_rule():
    rows = np.stack([SECONDS] * 10)
    carried = rules.play(adaptive(), rows, interruptible=False)
    # The last is 4 s late in the first round, and never in time afterwards.
    np.testing.assert_allclose(carried.waited, 5.0)
    assert not carried.answered[:, 3].any()


def test_json_gives_the_same_rule_back():
    rule = adaptive(rules.coverage(PAIRS, 0.9), plan=PAIRS, least=3, window=7)
    again = rules.from_json(PAIRS, rules.to_json(rules.earliest(rule, rule)))
    assert again.one.name == rule.name
    assert again.one.window == 7


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: adaptive(rules.deadline(UNCODED, 1.0)), "goal must be first, cov"),
        (lambda: adaptive(rules.first(codes.uncoded(P, num_partitions=4), 2)), "plan"),
        (lambda: adaptive(least=0), "least must be an integer ≥ 1"),
        (lambda: adaptive(least=7), "least must be at most 6"),
        (lambda: adaptive(at_most=0.0), "at_most must be above 0"),
        (lambda: adaptive(window=MEMORY + 1), "window must be at most 20"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
