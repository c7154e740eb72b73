"""How an experiment ends when it is not let finish, and how it starts again."""

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest

from experiments.common.stopping import full_disk
from tests.experiments.helpers import (
    LOGISTIC,
    finish,
    start_experiment,
    wait_for_another,
)

CHECKPOINT = "runs/*/checkpoints/[1-9]*"


def start(workdir, *more, **options):
    workdir = f"--workdir={workdir}"
    return start_experiment("train", *LOGISTIC, workdir, *more, **options)


@pytest.mark.slow
def test_a_signal_ends_in_one_line_and_the_folder_is_free_again(tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(tmp_path)
        wait_for_another(tmp_path, CHECKPOINT, process)
        if number == signal.SIGTERM:  # while it runs, nobody else does
            intruder = finish(start(tmp_path), code=1)
            last = intruder.splitlines()[-1]
            assert last.startswith(f"error: --workdir={tmp_path} is in use by process")
            assert str(process.pid) in last
        os.kill(process.pid, number)
        errors = finish(process, code=128 + number)
        assert errors.splitlines()[-1] == (
            f"stopped by {number.name}; the same command goes on where this one stopped"
        )
        assert "Traceback" not in errors
    assert "resumed after iteration" in finish(start(tmp_path), code=0)


@pytest.mark.slow
def test_the_second_start_compiles_nothing(tmp_path):
    """But where it is told to keep nothing."""
    cache = f"--compilation_cache={tmp_path / 'cache'}"
    short = "--config.num_iterations=5"
    lines = [
        finish(start(tmp_path / name, short, option), code=0).splitlines()[-1]
        for name, option in (
            ("a", cache),
            ("b", cache),
            ("c", "--compilation_cache=off"),
        )
    ]
    assert "Compiled 0 programs" not in lines[0]
    assert "found 0" not in lines[1]
    assert "Compiled 0 programs" in lines[1]
    assert "Compiled" not in lines[2]


@pytest.mark.slow
def test_no_room_ends_in_one_line(tmp_path):
    """A limit on the size of files stands for a full disk; its errno is another."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    errors = finish(start(tmp_path, preexec_fn=limit), code=1)
    last = errors.splitlines()[-1]
    assert last.startswith("error: no room to write (File too large")
    assert last.endswith("the same command goes on where this one stopped")
    assert "Traceback" not in errors
    finish(start(tmp_path), code=0)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("of_a_library", [False, True])
def test_full_disks_are_found_behind_other_errors(code, of_a_library):
    text = os.strerror(code)
    outer = ValueError("could not save")
    outer.__cause__ = RuntimeError(text) if of_a_library else OSError(code, text)
    assert text in full_disk(outer)
    assert full_disk(ValueError("another")) is None


def test_programs_of_all_rooms_are_imported_in_one_process():
    """No flag is defined twice, and nothing runs."""
    rooms = ("train", "train.report", "convergence", "residual_error", "wallclock")
    lines = [f"import experiments.{room}.main" for room in rooms]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
