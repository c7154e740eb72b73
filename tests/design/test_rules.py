import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jgc import codes, decoders
from jgc.design import rules

P = np.full(6, 0.2)
UNCODED = codes.uncoded(P, num_partitions=6)
PAIRS = codes.fractional_repetition(P, num_partitions=6, replication=2)
IDLE = codes.uncoded(P, num_partitions=4)  # two of its workers hold nothing
SECONDS = np.array([3.0, 1.0, 2.0, 9.0, 4.0, 5.0])


def waited(rule, seconds=SECONDS):
    time, answered = rule(seconds)
    return float(time), np.flatnonzero(answered).tolist()


def test_what_each_rule_waits_for():
    assert waited(rules.everyone(UNCODED)) == (9.0, [0, 1, 2, 3, 4, 5])
    assert waited(rules.first(UNCODED, 3)) == (3.0, [0, 1, 2])
    assert waited(rules.deadline(UNCODED, 4.5)) == (4.5, [0, 1, 2, 4])
    assert waited(rules.relative(UNCODED, 1.5)) == (4.5, [0, 1, 2, 4])
    assert waited(rules.coverage(UNCODED, 0.5)) == (3.0, [0, 1, 2])
    # Groups (0, 1), (2, 3), (4, 5): the last to have somebody is the third.
    assert waited(rules.coverage(PAIRS)) == (4.0, [0, 1, 2, 4])


def test_combined_rules():
    early, late = rules.deadline(UNCODED, 2.5), rules.first(UNCODED, 4)
    assert waited(rules.earliest(early, late)) == (2.5, [1, 2])
    assert waited(rules.latest(early, late)) == (4.0, [0, 1, 2, 4])
    assert "whichever is first" in rules.earliest(early, late).name


def test_nothing_is_waited_for_once_all_are_there():
    assert waited(rules.deadline(UNCODED, 100.0))[0] == 9.0
    assert waited(rules.relative(UNCODED, 50.0))[0] == 9.0


def test_nobody_may_be_there_at_the_deadline():
    assert waited(rules.deadline(UNCODED, 0.5)) == (0.5, [])


def test_workers_without_data_are_neither_waited_for_nor_counted():
    holders = np.flatnonzero(IDLE.batch_sizes)
    seconds = np.where(IDLE.batch_sizes > 0, 2.0, 100.0)
    assert waited(rules.everyone(IDLE), seconds) == (2.0, holders.tolist())
    fast_but_idle = np.where(IDLE.batch_sizes > 0, 2.0, 0.1)
    assert waited(rules.first(IDLE, 1), fast_but_idle)[0] == 2.0
    with pytest.raises(ValueError, match="at most 4"):
        rules.first(IDLE, 5)


def test_an_answer_that_never_comes():
    never = np.where(np.arange(6) == 3, np.inf, SECONDS)
    assert waited(rules.everyone(UNCODED), never)[0] == np.inf
    assert waited(rules.coverage(PAIRS), never) == (4.0, [0, 1, 2, 4])
    assert waited(rules.deadline(UNCODED, 6.0), never) == (6.0, [0, 1, 2, 4, 5])
    assert 3 not in waited(rules.everyone(UNCODED), never)[1]


def test_error_below_stops_at_the_first_small_error():
    def error(answered):
        c = decoders.rescaled.coefficients(PAIRS, answered)
        return ((c - 1) ** 2).sum(0)

    exact = rules.error_below(error, PAIRS, 1e-6)
    assert waited(exact) == waited(rules.coverage(PAIRS))
    assert waited(rules.error_below(error, PAIRS, 1e9))[0] == 1.0
    assert waited(rules.error_below(lambda a: jnp.ones(6), PAIRS, 0.5))[0] == 9.0


@given(
    st.lists(st.floats(0.1, 10), min_size=6, max_size=6),
    st.integers(1, 6),
    st.floats(0.05, 12),
)
@settings(max_examples=30, deadline=None)
def test_a_rule_knows_only_what_has_come(seconds, count, tau):
    """Asked in the middle of a round it never stops before it would have."""
    seconds = np.array(seconds)
    rule = rules.latest(rules.first(UNCODED, count), rules.deadline(UNCODED, tau))
    end, _ = waited(rule, seconds)
    for now in (0.0, end / 2, end * 0.999):
        so_far = np.where(seconds <= now, seconds, np.inf)
        until, _ = waited(rule, so_far)
        assert until > now


def test_rules_are_pytrees():
    rows = np.stack([SECONDS, SECONDS[::-1]])
    for rule in (rules.coverage(PAIRS), rules.first(PAIRS, 2)):
        times, answered = jax.jit(jax.vmap(lambda row, r=rule: r(row)))(rows)
        for i in range(2):
            one = rule(rows[i])
            assert times[i] == one[0]
            np.testing.assert_array_equal(answered[i], one[1])
    doubled = jax.tree.map(lambda x: x, rules.deadline(UNCODED, 2.0))
    assert waited(doubled) == (2.0, [1, 2])


def test_workers_that_cannot_be_interrupted_begin_late():
    rows = np.array([[1.0, 5.0], [1.0, 1.0], [1.0, 1.0]])
    plan = codes.uncoded([0.1, 0.1], num_partitions=2)
    rule = rules.deadline(plan, 2.0)
    fresh = rules.play(rule, rows)
    np.testing.assert_array_equal(fresh.answered[:, 1], [False, True, True])
    carried = rules.play(rule, rows, interruptible=False)
    # 3 s of the first answer are left, so that the second is not begun, and the third
    # comes after 1 + 1.
    np.testing.assert_array_equal(carried.answered[:, 1], [False, False, True])
    np.testing.assert_allclose(carried.waited, [2.0, 2.0, 2.0])
    exact = rules.play(rules.everyone(plan), rows, interruptible=False)
    np.testing.assert_allclose(exact.waited, [5.0, 1.0, 1.0])


def test_a_backlog_is_of_what_was_begun():
    rows = np.ones((15, 2))
    rows[0, 1] = 10.0
    plan = codes.uncoded([0.1, 0.1], num_partitions=2)
    rule = rules.deadline(plan, 1.5)
    played = rules.play(rule, rows.astype(int), interruptible=False)
    # Busy for 8.5, 7, … 1 s of the rounds that follow, it begins in the seventh and
    # is late by 0.5, and by nothing from the eighth on.
    np.testing.assert_array_equal(played.answered[:, 1], np.arange(15) >= 7)
    with pytest.raises(ValueError, match="worker must be 2 integers"):
        rules.play(rule, rows, worker=[0, 0, 1])


def test_a_worker_that_sends_parts_finishes_the_one_that_it_is_at():
    plan = codes.uncoded([0.1, 0.1], num_partitions=6)  # three messages each
    parts = codes.split(plan)
    # Worker 1 takes 3 s a partition in the first round, and 1 s later.
    rows = np.array([[1, 2, 3, 3, 6, 9]] + 2 * [[1, 2, 3, 1, 2, 3]], float)
    played = rules.play(
        rules.deadline(parts.plan, 4.0),
        rows,
        interruptible=False,
        worker=parts.worker,
    )
    # At 4 s it is at its second partition until 6: the third is not begun, and the
    # messages of round two come 2 s late. After the third, at 5 s, it is 1 s late.
    expected = [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    np.testing.assert_array_equal(played.answered[:, 3:], expected)
    assert played.answered[:, :3].all()
    np.testing.assert_allclose(played.waited, [4, 4, 4])


def test_carried_work_does_not_hold_up_coverage():
    rng = np.random.default_rng(0)
    rows = 1 + rng.exponential(size=(200, 6)) * 0.3
    rows[:, 0] = 10.0
    rule = rules.coverage(PAIRS)
    fresh, carried = (
        rules.play(rule, rows, interruptible=whether).waited.mean()
        for whether in (True, False)
    )
    assert carried < 1.7 * fresh


def test_json_gives_the_same_rule_back():
    made = [
        rules.deadline(PAIRS, 2.5),
        rules.first(PAIRS, 3),
        rules.relative(PAIRS, 1.25),
        rules.coverage(PAIRS, 0.5),
        rules.latest(
            rules.earliest(rules.coverage(PAIRS), rules.deadline(PAIRS, 3.5)),
            rules.first(PAIRS, 1),
        ),
    ]
    for rule in made:
        again = rules.from_json(PAIRS, rules.to_json(rule))
        assert waited(again) == waited(rule)
        assert again.name == rule.name
    with pytest.raises(ValueError, match="cannot be written"):
        rules.to_json(rules.error_below(lambda a: a, PAIRS, 0.1))
    with pytest.raises(ValueError, match="must be one of deadline"):
        rules.from_json(PAIRS, {"rule": "never"})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.deadline(UNCODED, 0.0), "deadline must be above 0"),
        (lambda: rules.first(UNCODED, 7), "count must be at most 6"),
        (lambda: rules.coverage(UNCODED, 0.0), "share must be above 0"),
        (lambda: rules.coverage(UNCODED, 1.1), r"share must be .* in \[0, 1\]"),
        (lambda: rules.relative(UNCODED, 0.9), "multiple must be"),
        (lambda: rules.error_below(lambda a: a, UNCODED, -1.0), "epsilon must be"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
