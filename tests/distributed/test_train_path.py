import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.train import paths, settings
from experiments.train.runs import Run, design
from jgc import decoders, optim
from jgc.decoders import second_moment_weights
from tests.training import problems

pytestmark = pytest.mark.slow


def test_processes_answer_as_the_simulation_does(ray_cluster):
    config = settings.default()
    config.num_workers, config.num_partitions = 3, 4
    plan = design(Run("interval", 1.5, 0), config)
    partition = jnp.arange(problems.NUM_EXAMPLES) % 4

    job = paths.Job(
        plan=plan,
        decoder=decoders.fixed,
        examples=problems.examples(),
        partition=partition,
        batch_key=jax.random.key(3),
        second_moment_weights=second_moment_weights(plan, noise_ratio=1.0),
    )

    def run(path):
        opened = path(problems.loss, optim.two_track_adam(None, 0.1), config)
        rows = []
        with opened(job) as iterations:
            state = iterations.init(problems.params(), jax.random.key(1))
            for key in jax.random.split(jax.random.key(2), 8):
                state, row = iterations.step(state, key)
                rows.append(row)
        return state, rows

    simulated, expected = run(paths.simulated)
    found, rows = run(paths.ray)
    chex.assert_trees_all_close(found, simulated, rtol=1e-4, atol=1e-6)
    answered = [row["answered"] for row in expected]
    assert [row["answered"] for row in rows] == answered
    assert min(answered) == 0  # then nobody tells the loss
    losses = [row["loss"] for row in expected]
    np.testing.assert_allclose([row["loss"] for row in rows], losses, rtol=1e-4)
