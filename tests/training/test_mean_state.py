"""The state of a model after an iteration, beside what all paths agree on."""

import jax.numpy as jnp

from jgc.training._gradient import mean_state


def test_a_counter_may_go_down_whoever_answered():
    before, made = jnp.int32(9), jnp.array([8, 7, 50])
    seen = jnp.array([True, True, False])

    assert int(mean_state(before, made, seen)) == 8
    assert int(mean_state(before, made, ~(seen | ~seen))) == 9


def test_a_flag_is_set_where_one_that_was_seen_sets_it():
    made = jnp.array([False, True])

    assert bool(mean_state(jnp.array(False), made, jnp.array([True, True])))
    assert not bool(mean_state(jnp.array(False), made, jnp.array([True, False])))
