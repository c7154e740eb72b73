"""The SPMD path on several devices and processes: the simulated path's answer."""

import os
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import pytest

from jgc.training import TrainState, place_state
from tests.training.models import MODELS


def start(*arguments, num_devices):
    """A process of its own with that many devices that runs checks of path_checks."""
    flags = (
        f"--xla_force_host_platform_device_count={num_devices} "
        "--xla_backend_optimization_level=0"  # compiles in two thirds of the time
    )
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.path_checks", *arguments],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes, seconds=900):
    last = time.monotonic() + seconds
    # Where one fails, the others wait for it.
    while all(process.poll() in (None, 0) for process in processes) and any(
        process.poll() is None for process in processes
    ):
        if time.monotonic() > last:
            break
        time.sleep(0.1)
    for process in processes:
        process.kill()
    told = [process.communicate() for process in processes]
    # Gloo greets before it.
    assert all(out.splitlines()[-1:] == ["passed"] for out, _ in told), "".join(
        errors[-3000:] for _, errors in told
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_devices", "checks"),
    [
        (1, ("logistic", "transformer", "low_precision")),
        (2, ("own_examples", *MODELS)),
        (
            8,
            (
                "schemes",
                "own_examples",
                "similarity",
                "two_tracks",
                "parameters_in_parts",
                "low_precision",
                "transformer",
                "batch_norm",
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
    checks = ("models_in_processes", "own_data_of_a_process")
    finish(
        *(
            start(*checks, "--process", str(process), address, num_devices=2)
            for process in range(2)
        )
    )


def test_parameters_in_parts_need_an_axis():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("workers",))
    with pytest.raises(
        ValueError, match=r"param_axis must be None or .*'workers'.*'x'"
    ):
        place_state({}, mesh, param_axis="x")


def test_parts_are_of_parameters_and_optimizer_alone():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("workers",))
    many = jnp.ones(4)
    state = TrainState(
        many, many, many, many, (), (), (), jax.random.key(0), jnp.zeros(())
    )

    placed = place_state(state, mesh, param_axis="workers")

    for part in (placed.params, placed.opt_state):
        assert part.sharding.spec == jax.sharding.PartitionSpec("workers")
    for part in (placed.model_state, placed.stragglers):
        assert part.sharding.spec == jax.sharding.PartitionSpec()
