"""Several processes that are one experiment."""

import os
import signal
import socket

import numpy as np
import pytest

from jgc._files import read_json_lines
from tests.experiments.helpers import (
    LOGISTIC,
    finish,
    start_experiment,
    wait_for_another,
)

pytestmark = pytest.mark.slow


def start(workdirs, *options, port):
    """A process for each of the working directories, which should be one."""
    together = (
        *LOGISTIC,
        "--config.path=spmd",
        f"--coordinator=localhost:{port}",
        f"--num_processes={len(workdirs)}",
    )
    return [
        start_experiment(
            "train",
            *together,
            f"--process_index={index}",
            f"--workdir={workdir}",
            *(options[index] if options else ()),
        )
        for index, workdir in enumerate(workdirs)
    ]


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


def metrics(workdir):
    return read_json_lines(
        workdir / "runs" / "interval-deadline1.5-seed0/metrics.jsonl"
    )


def test_killed_and_resumed_they_train_as_one_does(tmp_path, port):
    alone, together = tmp_path / "alone", tmp_path / "together"
    finish(start_experiment("train", *LOGISTIC, f"--workdir={alone}"), code=0)

    first, second = start([together] * 2, port=port)
    wait_for_another(together, "runs/*/checkpoints/[1-9]*", first)
    os.kill(second.pid, signal.SIGKILL)
    errors = finish(first, code=1)
    assert errors.splitlines()[-1].startswith("error: another process ended; the same")
    assert "Traceback" not in errors
    finish(second, code=-signal.SIGKILL)
    assert not list(together.glob("runs/*/result.json"))

    first, second = start([together] * 2, port=port)
    assert "resumed after iteration" in finish(first, code=0)
    finish(second, code=0)
    found, expected = metrics(together), metrics(alone)
    assert [row["answered"] for row in found] == [row["answered"] for row in expected]
    np.testing.assert_allclose(
        [row["loss"] for row in found], [row["loss"] for row in expected], rtol=1e-4
    )
    assert (together / "table.md").exists()


def test_other_folders_are_an_error_on_all(tmp_path, port):
    for process in start([tmp_path / "a", tmp_path / "b"], port=port):
        last = finish(process, code=1).splitlines()[-1]
        assert f"--workdir={tmp_path / 'b'} is not the folder of process 0" in last


def test_an_error_of_one_ends_all(tmp_path, port):
    options = (), ("--config.psi_min=-1.0",)
    for process in start([tmp_path] * 2, *options, port=port):
        last = finish(process, code=1).splitlines()[-1]
        assert "its settings are not those of process 0" in last
