import numpy as np
import pytest

import jgc
from jgc.design import rules
from jgc.distributed import Waiting, wait_by

PLAN = jgc.codes.cyclic_repetition([0.2] * 4, num_partitions=4, num_stragglers=1)


def test_waiting_by_a_rule():
    rule = rules.earliest(rules.first(PLAN, 3), rules.deadline(PLAN, 5.0))
    policy = wait_by(rule)

    def left(latencies, elapsed):
        seconds = np.array(latencies, float)
        return policy(Waiting(PLAN, np.isfinite(seconds), elapsed, seconds))

    never = np.inf
    assert left([never, never, never, never], 1.0) == pytest.approx(4.0)
    assert left([0.5, 1.5, never, never], 2.0) == pytest.approx(3.0)
    assert left([0.5, 1.5, 2.5, never], 2.6) == 0
    assert left([0.5, never, never, never], 5.1) == 0
    # Of fractional repetition: one of each group, however long that takes.
    pairs = jgc.codes.fractional_repetition([0.2] * 4, num_partitions=4, replication=2)
    policy = wait_by(rules.coverage(pairs))
    assert left([0.5, 0.6, never, never], 9.0) == np.inf
    assert left([0.5, never, never, 0.7], 0.8) == 0
    with pytest.raises(ValueError, match="needs the latencies"):
        policy(Waiting(PLAN, np.zeros(4, bool), 0.0))
