"""Two tracks where some messages have no sum, s_i = 0, of which (42) says nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc import optim
from tests.decoders.helpers import plan_of


@pytest.mark.parametrize(
    ("plan", "answered", "length"),
    [
        # One worker never straggles and holds nothing.
        (jgc.codes.uncoded(np.array([0.3, 0.0]), num_partitions=1), [1, 1], 1.0),
        # A message g_1 − g_2 moves the first moment all the same.
        (plan_of([{0: 1.0, 1: -1.0}, {0: 1.0, 1: 1.0}], 2), [1, 0], 1.5),
    ],
    ids=["idle worker", "difference"],
)
def test_the_first_step_of_adam_is_about_the_rate(plan, answered, length):
    partition = jnp.linspace(1.0, 3.0, plan.num_partitions)
    adam = optim.two_track_adam(plan, 0.01)
    step, _ = adam.update(
        plan.encode(partition),
        adam.init(jnp.zeros(())),
        answered=jnp.array(answered, bool),
    )
    assert 0.0099 <= abs(float(step)) <= 0.01 * length
