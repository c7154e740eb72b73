"""The machine that a benchmark ran on, for the head of its table."""

import os
import platform
from pathlib import Path

import jax


def describe_machine() -> str:
    """Processor, cores, devices and versions in one line."""
    return (
        f"{_processor()}, {os.cpu_count()} cores; {jax.device_count()} x "
        f"{jax.devices()[0].device_kind}; Python {platform.python_version()}, "
        f"jax {jax.__version__}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()
