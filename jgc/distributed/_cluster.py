"""Connecting to Ray, and how the processes of workers are set up."""

import os
from typing import Any

import jax.numpy as jnp

from jgc import _checks
from jgc._extras import require


def connect(address: str = "") -> None:
    """Starts Ray on this machine, or joins the cluster at `address`.

    Does nothing if this process is connected already.

    Args:
        address: `host:port` or `auto` of a running cluster; empty: this machine alone.

    Raises:
        ImportError: Ray is not installed (extra "distributed").
        ConnectionError: there is no cluster at `address`.
    """
    ray = require("ray", extra="distributed")
    if ray.is_initialized():
        return
    # No statistics leave the machine unless the user asks for it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if address:
        ray.init(address=address, **options)
    else:
        # Ray's 15 would make all workers late wherever others use the machine.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # "local", or Ray would join whatever cluster it last heard of.
        ray.init(address="local", include_dashboard=False, **options)


def worker_environment(threads: int = 1) -> dict[str, str]:
    """Environment variables of a worker's process.

    By default XLA would start as many threads as the machine has cores in each of the
    workers that share it.

    Args:
        threads: that a worker computes with.

    Raises:
        ValueError: fewer than one thread.
    """
    threads = _checks.count("threads", threads)
    flags = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    return {
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip(),
        "NPROC": str(threads),  # of XLA's thread pools
        "OMP_NUM_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": str(threads),
        "JAX_ENABLE_X64": str(int(jnp.result_type(float) == jnp.float64)),
    }
