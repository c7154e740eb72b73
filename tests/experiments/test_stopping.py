"""How an experiment ends when it is not let finish, and how it starts again."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from experiments.common.stopping import full_disk
from tests.experiments.helpers import LOGISTIC, finish, start_experiment, wait_for_any

CHECKPOINT = "runs/*/checkpoints/[1-9]*"


def start(workdir, **options):
    return start_experiment("train", *LOGISTIC, f"--workdir={workdir}", **options)


@pytest.mark.slow
def test_a_signal_ends_in_one_line_and_the_folder_is_free_again(tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):
        process = start(tmp_path)
        wait_for_any(tmp_path, CHECKPOINT, process)
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
    # What was compiled is kept, also by a start that was stopped.
    errors = finish(start(tmp_path), code=0)
    assert "resumed after iteration" in errors
    again = finish(start(tmp_path / "another"), code=0)
    assert "Compiled 0 programs, found" in again


@pytest.mark.slow
def test_no_room_ends_in_one_line(tmp_path):
    """A limit on the size of files stands for a full disk: another errno, that is all."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    errors = finish(start(tmp_path, preexec_fn=limit), code=1)
    last = errors.splitlines()[-1]
    assert last.startswith("error: no room to write (File too large")
    assert last.endswith("the same command goes on where this one stopped")
    assert "Traceback" not in errors
    finish(start(tmp_path), code=0)


@pytest.mark.parametrize("make", [OSError, lambda n, text: RuntimeError(text)])
def test_full_disks_are_found_behind_other_errors(make):
    for number in ("ENOSPC", "EDQUOT"):
        import errno

        code = getattr(errno, number)
        try:
            try:
                raise make(code, os.strerror(code))
            except Exception as error:
                raise ValueError("could not save") from error
        except ValueError as error:
            assert os.strerror(code) in full_disk(error)
    assert full_disk(ValueError("another")) is None


def test_programs_of_all_rooms_are_imported_in_one_process():
    """No flag is defined twice, and nothing runs."""
    rooms = ("train", "train.report", "convergence", "residual_error", "wallclock")
    lines = [f"import experiments.{room}.main" for room in rooms]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
