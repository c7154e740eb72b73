"""The SPMD path on several devices: the simulated path's answer.

On several processes: tests/experiments/test_processes.py.
"""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jgc.training import TrainState, place_state
from tests.training.models import MODELS


def start(*arguments, num_devices):
    """A process of its own with that many devices that runs checks of path_checks."""
    flags = f"--xla_force_host_platform_device_count={num_devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.path_checks", *arguments],
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    try:
        for process in processes:
            out, errors = process.communicate(timeout=900)
            # Gloo greets before it.
            assert out.splitlines()[-1:] == ["passed"], errors[-3000:]
    finally:
        for process in processes:
            process.kill()


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


def test_parameters_in_parts_need_an_axis():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("workers",))
    with pytest.raises(
        ValueError, match=r"param_axis must be None or .*'workers'.*'x'"
    ):
        place_state({}, mesh, param_axis="x")


def test_parts_are_of_parameters_and_optimizer_alone():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("workers",))
    many = jnp.ones(4)
    state = TrainState(many, many, many, many, (), (), jax.random.key(0), jnp.zeros(()))

    placed = place_state(state, mesh, param_axis="workers")

    for part in (placed.params, placed.opt_state):
        assert part.sharding.spec == jax.sharding.PartitionSpec("workers")
    for part in (placed.model_state, placed.stragglers):
        assert part.sharding.spec == jax.sharding.PartitionSpec()
