"""How an experiment ends when it is not let finish, and how it starts again."""

import errno
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from experiments.common.checkpoints import Checkpoints
from experiments.common.stopping import (
    Stopped,
    full_disk,
    held_back,
    stopped_by_signals,
)
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


@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_waits_for_what_must_not_be_cut_short(fails):
    done = []

    def work():
        with held_back():
            with held_back():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")
            if fails:
                raise OSError("no room")

    with stopped_by_signals("go on"), pytest.raises(Stopped) as stopped:
        work()
    assert done == ["inner", "outer"]
    assert stopped.value.number == signal.SIGTERM
    assert isinstance(stopped.value.__context__, OSError) == fails
    with stopped_by_signals("go on"), held_back():
        pass  # the signal has been told once


def test_another_threads_work_holds_back_no_signal():
    begun, over = threading.Event(), threading.Event()

    def work():
        with held_back():
            begun.set()
            over.wait()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    with stopped_by_signals("go on"), pytest.raises(Stopped):
        os.kill(os.getpid(), signal.SIGINT)
    over.set()
    thread.join()


def test_a_checkpoint_is_whole_when_a_signal_comes_meanwhile(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        save = checkpoints._manager.save

        def interrupted(*arguments, **options):
            os.kill(os.getpid(), signal.SIGTERM)
            save(*arguments, **options)

        monkeypatch.setattr(checkpoints._manager, "save", interrupted)
        with stopped_by_signals("go on"), pytest.raises(Stopped):
            checkpoints.save(3, np.arange(4.0))
        found = checkpoints.restore_newest(like=np.zeros(4))
    np.testing.assert_array_equal(found, np.arange(4.0))


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
    limit = ("sh", "-c", 'ulimit -f 40 && exec "$@"', "sh")  # 20 or 40 kB
    errors = finish(start(tmp_path, within=limit), code=1)
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
