"""A deadline that follows the last rounds of a run; on processes in `test_faults`."""

import numpy as np
import pytest

from jgc.design import rules
from jgc.distributed import Waiting, wait_by
from jgc.distributed._recent import Recent
from tests.distributed.helpers import PLAN, K

RULE = rules.adaptive(PLAN, rules.first(PLAN, 2), least=1, at_most=30.0)


def test_late_answers_are_filled_in():
    recent = Recent(K)
    assert np.isnan(recent.past().waited).all()
    for number in range(30):
        recent.add(number, 100.0, np.array([1.0, np.inf, 2.0]), 3.0)
    recent.late(29, 1, now=107.0)
    recent.late(29, 0, now=108.0)  # was there already
    recent.late(3, 1, now=109.0)  # forgotten
    past = recent.past()
    np.testing.assert_array_equal(past.seconds[-1], [1.0, 7.0, 2.0])
    assert np.isnan(past.seconds[:-1, 1]).all()
    assert (past.waited == 3).all()


def test_a_policy_follows_the_past_of_its_run():
    policy, recent = wait_by(RULE), Recent(K)
    none = np.full(K, np.inf)
    waiting = Waiting(PLAN, np.zeros(K, bool), 0.5, none)
    assert policy(waiting) == 29.5
    for number in range(5):
        recent.add(number, 0.0, np.array([1.0, 2.0, np.inf]), 2.0)
    one = np.array([1.5, np.inf, np.inf])
    assert policy(waiting._replace(past=recent.past())) == 29.5  # the floor is first
    seen = waiting._replace(past=recent.past(), latencies=one)
    assert policy(seen) == pytest.approx(1.5)
    steady = wait_by(rules.deadline(PLAN, 4.0))
    assert steady(seen) == 3.5
