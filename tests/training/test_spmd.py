"""The SPMD path on several devices and processes: the simulated path's answer."""

import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

import jgc
from jgc.training import place_state, spread


def start(*arguments, num_devices):
    """A process of its own with that many devices that runs checks of spmd_checks."""
    flags = f"--xla_force_host_platform_device_count={num_devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.spmd_checks", *arguments],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    try:
        for process in processes:
            out, errors = process.communicate(timeout=300)
            # Gloo greets before it.
            assert out.splitlines()[-1:] == ["passed"], errors[-3000:]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_devices", "checks"),
    [
        (1, ("logistic_regression", "two_tracks", "low_precision")),
        (2, ("logistic_regression", "own_examples", "detector")),
        (
            8,
            (
                "logistic_regression",
                "own_examples",
                "two_tracks",
                "parameters_in_parts",
                "low_precision",
            ),
        ),
    ],
)
def test_devices(num_devices, checks):
    finish(start(*checks, num_devices=num_devices))


@pytest.mark.slow
def test_two_processes():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    checks = ("logistic_regression", "own_data_of_a_process")
    finish(
        *(
            start(*checks, "--process", str(process), address, num_devices=2)
            for process in range(2)
        )
    )


@pytest.mark.parametrize(
    ("partition", "device", "parts"),
    [
        ([], [0, 0], ("partition", "not empty")),
        ([0, 3], [0, 0], ("partition", "[0, 3)", "0 to 3")),
        ([0, 1], [0], ("worker_device", "(2,)", "(1,)")),
        ([0, 1], [0, 1], ("worker_device", "[0, 1)", "0 to 1")),
    ],
)
def test_errors_of_spread_name_the_argument(partition, device, parts):
    plan = jgc.codes.uncoded([0.1, 0.2], num_partitions=3)
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("workers",))
    with pytest.raises(ValueError) as error:
        spread(lambda rows: rows, partition, plan, np.array(device), mesh=mesh)
    for part in parts:
        assert part in str(error.value)


def test_parameters_in_parts_need_an_axis():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("workers",))
    with pytest.raises(
        ValueError, match=r"param_axis must be None or .*'workers'.*'x'"
    ):
        place_state({}, mesh, param_axis="x")
