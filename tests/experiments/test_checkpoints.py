import chex
import jax
import jax.numpy as jnp
import optax

from experiments.common.checkpoints import Checkpoints
from jgc.training._state import init_state
from tests.training import problems


def state(iteration):
    fresh = init_state(jax.random.key(7), problems.params(), optax.adam(0.1))
    return fresh._replace(iteration=jnp.int32(iteration))


def test_restores_the_newest_bit_for_bit(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.restore_newest(like=state(0)) is None
        for iteration in (2, 4, 6):
            checkpoints.save(iteration, state(iteration))
    with Checkpoints(tmp_path) as checkpoints:
        chex.assert_trees_all_equal(checkpoints.restore_newest(state(0)), state(6))
    assert not (tmp_path / "2").exists()


def test_an_unfinished_save_is_not_restored(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, state(2))
    (tmp_path / "4.orbax-checkpoint-tmp-123").mkdir()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.restore_newest(state(0)).iteration == 2
