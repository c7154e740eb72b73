import chex
import numpy as np
import pytest

from experiments.common.progress import RunProgress
from experiments.train import settings
from experiments.train.optimizers import OPTIMIZERS
from experiments.train.paths import PATHS
from experiments.train.runs import restore_params, train
from experiments.train.specs import RunSpec
from experiments.train.tasks.task import Task
from jgc._files import read_json_lines
from jgc.training import arrays
from tests.training import problems

pytestmark = pytest.mark.slow


def test_processes_train_as_the_simulation_does(tmp_path, ray_cluster):
    """Through all of `train`, with two tracks, and an iteration that nobody answers."""
    config = settings.default()
    config.num_workers, config.num_partitions = 3, 4
    config.num_iterations = config.evaluate_every = config.checkpoint_every = 8
    examples = problems.examples()
    task = Task(
        loss=problems.loss,
        init=lambda key: problems.params(),
        source=arrays(examples),
        assignment=np.arange(problems.NUM_EXAMPLES) % 4,
        validation_loss=lambda params: problems.loss(params, examples).mean(),
        score=lambda params: {},
    )
    run = RunSpec("interval", 1.5, 0, "two_track_adam", 1.0)
    found = {}
    for name in ("simulated", "ray"):
        optimizer = OPTIMIZERS[run.optimizer].make(0.1)
        folder = tmp_path / name
        with (
            PATHS[name](task.loss, optimizer, None, config) as path,
            RunProgress(1, config.num_iterations) as progress,
        ):
            train(run, task, path, config, folder, progress)
        rows = read_json_lines(folder / "metrics.jsonl")
        found[name] = restore_params(run, task, folder), rows
    chex.assert_trees_all_close(
        found["ray"][0], found["simulated"][0], rtol=1e-4, atol=1e-6
    )
    answered = [[row["answered"] for row in rows] for _, rows in found.values()]
    assert answered[0] == answered[1]
    assert min(answered[0]) == 0
