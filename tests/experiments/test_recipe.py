"""What a training recipe has beside its optimizer."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.train import recipe
from experiments.common.progress import RunProgress
from experiments.train import settings
from experiments.train.optimizers import make_optimizer
from experiments.train.paths import PATHS
from experiments.train.runs import restore_params, train
from experiments.train.specs import RunSpec
from experiments.train.tasks.task import Task
from jgc.training import arrays
from tests.training import problems

PARAMS = {"x": jnp.array([1.0, -2.0]), "y": jnp.array(3.0)}


def gradient(step):
    return jax.tree.map(lambda leaf: jnp.cos(leaf + step), PARAMS)


def steps(optimizer, count=5):
    """The parameters after each step, and the last state."""
    params, state, path = PARAMS, optimizer.init(PARAMS), []
    for step in range(count):
        update, state = optimizer.update(gradient(step), state, params)
        params = optax.apply_updates(params, update)
        path.append(params)
    return path, state


def make(name="momentum", **changes):
    config = settings.default()
    config.num_iterations = 20
    config.learning_rates[name] = 0.1
    config.update(changes)
    settings.check(config)
    return make_optimizer(name, config)


def test_decay_of_sgd_is_a_part_of_the_gradient():
    found, _ = steps(make(weight_decay=0.01))
    params, velocity = PARAMS, jax.tree.map(jnp.zeros_like, PARAMS)
    for step in range(5):
        own = jax.tree.map(lambda g, p: g + 0.01 * p, gradient(step), params)
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, own)
        params = jax.tree.map(lambda p, v: p - 0.1 * v, params, velocity)
    chex.assert_trees_all_close(found[-1], params, rtol=1e-5)


def test_decay_of_adam_is_apart_from_its_moments():
    found, _ = steps(make("adam", optimizers=("adam",), weight_decay=0.01))
    expected, _ = steps(optax.adamw(0.1, weight_decay=0.01))
    chex.assert_trees_all_close(found[-1], expected[-1], rtol=1e-6)
    plain, _ = steps(make("adam", optimizers=("adam",)))
    assert float(jnp.abs(found[-1]["y"] - plain[-1]["y"])) > 1e-4


def test_judged_parameters_are_means():
    path, state = steps(make(ema_decay=0.75, clip_norm=10.0))
    alone, _ = steps(make(clip_norm=10.0))
    chex.assert_trees_all_equal(path[-1], alone[-1])  # training is as without
    expected = PARAMS
    for params in path:
        expected = jax.tree.map(lambda m, p: 0.75 * m + 0.25 * p, expected, params)
    mean = optax.tree_utils.tree_get(state, "averaged_params")
    chex.assert_trees_all_close(mean, expected, rtol=1e-5)


@pytest.mark.parametrize("warmup", [0, 5])
def test_rates_in_steps(warmup):
    optimizer = make(
        "sgd",
        optimizers=("sgd",),
        schedule="step",
        schedule_steps=(0.5, 0.75),
        warmup_iterations=warmup,
    )
    state, rates = optimizer.init(PARAMS), []
    for _ in range(20):
        update, state = optimizer.update({"x": -jnp.ones(2), "y": -jnp.ones(())}, state)
        rates.append(float(update["y"]))
    rest = [0.1] * (10 - warmup) + [0.01] * 5 + [0.001] * 5
    np.testing.assert_allclose(rates[warmup:], rest, rtol=1e-5)
    assert np.all(np.diff(rates[: warmup + 1]) > 0)


def test_a_run_is_judged_by_the_mean_and_resumes_with_it(tmp_path):
    config = settings.default()
    config.num_workers = config.num_partitions = 4
    config.num_iterations = config.evaluate_every = 12
    config.checkpoint_every = 4
    config.ema_decay = 0.9
    examples = problems.examples()
    judged = []
    task = Task(
        loss=problems.loss,
        init=lambda key: problems.params(),
        source=arrays(examples),
        assignment=np.arange(problems.NUM_EXAMPLES) % 4,
        validation_loss=lambda params: problems.loss(params, examples).mean(),
        score=lambda params: judged.append(params) or {},
    )
    run, found = RunSpec("interval", 1.5, 0), []
    optimizer = make_optimizer("sgd", config)
    with PATHS["simulated"](task.loss, optimizer, None, config) as path:
        for name, last in (("whole", 12), ("in two", 8), ("in two", 12)):
            config.num_iterations = last
            with RunProgress(1, last) as progress:
                train(run, task, path, config, tmp_path / name, progress)
            found.append(restore_params(run, task, tmp_path / name))
    chex.assert_trees_all_equal(found[0], found[2], judged[0], judged[2])
    early = problems.params()
    assert any(
        float(jnp.abs(a - b).max()) > 0
        for a, b in zip(jax.tree.leaves(found[0]), jax.tree.leaves(early), strict=True)
    )


@pytest.mark.parametrize("model", ["ssdlite", "retinanet"])
def test_torchvisions_recipes(model):
    config = recipe.get_config(model)
    settings.check(config)
    assert (
        config.num_workers * config.batch_size
        == {"ssdlite": 192, "retinanet": 16}[model]
    )
    make_optimizer("momentum", config)


def test_two_tracks_do_not_decay():
    config = settings.default()
    config.optimizers, config.weight_decay = ("two_track_adam",), 0.1
    with pytest.raises(ValueError, match=r"config\.weight_decay = 0\.1.*momentum"):
        settings.check(config)
