import threading
import time

import pytest

from experiments.common.progress import Abandoned, RunProgress
from experiments.common.threads import OneAtFirst, in_threads


@pytest.mark.parametrize("count", [1, 2, 3])
def test_everything_is_done_so_many_at_once(count):
    together, most, done = 0, 0, []
    lock, all_here = threading.Lock(), threading.Barrier(count, timeout=10)

    def do(item):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        all_here.wait()
        with lock:
            together -= 1
            done.append(item)

    in_threads(do, range(6), count=count, abandon=lambda: None)
    assert sorted(done) == list(range(6))
    assert most == count


def test_an_error_in_one_run_ends_the_others():
    started, ended = threading.Event(), []

    def do(item):
        if item == "bad":
            started.wait(10)
            raise FloatingPointError("the loss is nan")
        try:
            while True:
                started.set()
                progress.advance(item, 1.0)
                time.sleep(0.001)
        except Abandoned:
            ended.append(item)
            raise

    with RunProgress(2, 10) as progress, pytest.raises(FloatingPointError, match="nan"):
        in_threads(do, ["long", "bad", "later"], count=2, abandon=progress.abandon)
    assert ended == ["long"]


def test_one_thread_passes_a_place_first():
    first, order = OneAtFirst(), []
    within, may_end = threading.Event(), threading.Event()

    def pass_place(name):
        with first("step"):
            order.append(name)
            if name == "first":
                within.set()
                may_end.wait(10)
            order.append(name)

    threads = [threading.Thread(target=pass_place, args=("first",))]
    threads[0].start()
    assert within.wait(10)
    threads.append(threading.Thread(target=pass_place, args=("second",)))
    threads[1].start()
    with first("another place"):
        time.sleep(0.05)
    assert order == ["first"]
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "first", "second", "second"]
