import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.common import launch

TINY = (
    "--config.schemes=('straggler_free','interval')",
    "--config.deadlines=(1.5,)",
    "--config.num_seeds=1",
    "--config.runs_at_once=1",
    "--config.optimizers=('sgd',)",
    "--config.num_iterations=12",
    "--config.warmup_iterations=2",
    "--config.batch_size=1",
    "--config.checkpoint_every=5",
    "--config.data.shapes.num_train=10",
    "--config.data.shapes.num_validation=4",
    "--config.data.shapes.image_size=32",
    "--config.model.image_size=32",
)


def command(workdir, *options):
    module = [sys.executable, "-m", "experiments.train"]
    return [
        *module,
        "--config=configs/train/shapes.py",
        f"--workdir={workdir}",
        *options,
    ]


def run(workdir, *options):
    return subprocess.run(
        command(workdir, *options), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("option", "parts"),
    [
        ("--config.data.direktory=x", ("direktory", "did you mean directory?")),
        (
            "--config.batch_size=5",
            ("config.batch_size = 5", "accepted: at most 4"),
        ),
        ("--config.num_workers=0", ("config.num_workers = 0", "at least 1")),
        ("--config.data.directory=/nowhere", ("/nowhere", "does not exist")),
    ],
)
def test_unusable_input_ends_with_one_line(tmp_path, option, parts):
    few = ("num_train=40", "num_validation=4")
    result = run(tmp_path, *(f"--config.data.shapes.{key}" for key in few), option)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert all(part in last for part in parts)
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_the_last_of_several_values_counts():
    """Of a tuple too, which ml_collections would append."""
    arguments = [
        "train",
        "--config=a.py",
        "--config.schemes=('straggler_free',)",
        "--v=1",
    ]
    later = ["--config.num_seeds=1", "--config.schemes=('uncoded',)", "--v=2"]
    found = launch._without_overridden(arguments + later)
    assert found == [arguments[0], arguments[1], arguments[3], *later]


def parameters(workdir):
    """All checkpoint arrays at the end of the coded run, as bytes by file."""
    import orbax.checkpoint as ocp

    path = workdir / "runs" / "interval-deadline1.5-seed0" / "checkpoints" / "12"
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(path.absolute() / "default")
    return state["params"]


@pytest.mark.slow
def test_kill_9_and_resume_ends_in_the_same_bits(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(whole, *TINY).returncode == 0

    with subprocess.Popen(
        command(killed, *TINY), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        checkpoint = (
            killed / "runs" / "interval-deadline1.5-seed0" / "checkpoints" / "5"
        )
        while not checkpoint.exists() and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, "the run ended before it was killed"
    result = run(killed, *TINY)
    assert result.returncode == 0, result.stderr
    assert "2 runs, 1 finished before" in result.stderr

    import jax

    same = jax.tree.map(np.array_equal, parameters(whole), parameters(killed))
    assert all(jax.tree.leaves(same))
    for name in ("table.csv", "table.md", "findings.md", "config.json"):
        assert (whole / name).read_text() == (killed / name).read_text()
    for name in ("convergence.png", "validation.png", "detections.png"):
        assert (killed / name).stat().st_size > 0

    config = json.loads((killed / "config.json").read_text())
    assert config["num_iterations"] == 12
    other = run(killed, *TINY, "--config.learning_rates.sgd=0.5")
    assert other.returncode == 1
    assert "other settings of config.learning_rates.sgd" in other.stderr
