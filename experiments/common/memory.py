"""Memory that a step frees stays with the process, for the next step to use."""

import ctypes
import logging
import platform

from absl import flags

_LOG = logging.getLogger(__name__)
# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_MOST = 2**31 - 1  # the largest int
_AT_ONCE = 2**28  # bytes by which the heap grows


def define_flags() -> None:
    """--keep_freed_memory, of experiments."""
    flags.DEFINE_bool(
        "keep_freed_memory",
        True,
        "memory that was freed is not given back to the system, where the C library is "
        "glibc: faster steps on a CPU, the same results",
    )


def keep_freed() -> None:
    """Tells glibc's malloc to take memory from its heap alone, and to keep it.

    XLA asks for a step's temporary buffers anew in every step. glibc maps blocks of
    that size afresh and gives them back after the step, so that each page is cleared by
    the system and faults once a step. With any other C library nothing is done; what
    other threads than the first allocate in heaps of their own is glibc's to place.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = ctypes.CDLL(None).mallopt
    accepted = [
        mallopt(_MMAP_MAX, 0),
        mallopt(_TRIM_THRESHOLD, _MOST),
        mallopt(_TOP_PAD, _AT_ONCE),
    ]
    if not all(accepted):
        _LOG.warning("malloc does not keep freed memory: mallopt gave %s", accepted)
