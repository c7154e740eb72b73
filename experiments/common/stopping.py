"""Signals and full disks end an experiment in one line that says how to go on."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRACE = 10.0  # seconds for Python to act on a signal; a collective never returns
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stopped(BaseException):
    """A signal came; nothing but the launcher may catch it."""

    def __init__(self, number: int) -> None:
        """Of this number."""
        super().__init__(number)
        self.number = number


class _Held(threading.local):
    """Of the thread: how deep it is in `held_back`, and the signal that came there."""

    depth = 0
    number: int | None = None


_held = _Held()


@contextmanager
def held_back() -> Iterator[None]:
    """A signal raises `Stopped` at the end of this, not within.

    For short work in which libraries leave a mess when they are interrupted: of a
    checkpoint's event loop, threads that come too late print a traceback.
    """
    _held.depth += 1
    try:
        yield
    finally:
        _held.depth -= 1
        if not _held.depth and _held.number is not None:
            number, _held.number = _held.number, None
            raise Stopped(number)


@contextmanager
def stopped_by_signals(advice: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM raise `Stopped` within.

    Where the main thread waits in compiled code for processes that never answer, Python
    cannot raise: then, or at a second signal, the process ends at once.

    Args:
        advice: how to go on.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        if _held.depth:
            _held.number = number
        else:
            raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    woken_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    is_over = threading.Event()

    def watch() -> None:
        number = 0
        while number not in _SIGNALS:
            number = int.from_bytes(os.read(reading, 1))
            if is_over.is_set():
                return
        if not is_over.wait(_GRACE):
            end(number, advice)

    watcher = threading.Thread(target=watch, name="signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        signal.set_wakeup_fd(woken_before)
        os.write(writing, b"\0")
        watcher.join()
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def end(number: int, advice: str) -> NoReturn:
    """Ends the process, whatever its threads do, as a shell expects of the signal."""
    leave(128 + number, f"stopped by {signal.Signals(number).name}; {advice}")


def leave(code: int, line: str) -> NoReturn:
    """Ends the process now: no handler at exit waits for other processes."""
    print(line, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def full_disk(error: BaseException) -> str | None:
    """What could not be written for want of room; None if the error is another."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            text = os.strerror(seen.errno)
            return f"{text}: {seen.filename}" if seen.filename else text
        for number in _FULL:  # of libraries that keep the text alone
            if os.strerror(number) in str(seen):
                return os.strerror(number)
        seen = seen.__cause__ or seen.__context__
    return None
