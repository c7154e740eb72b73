"""Messages spread over devices: the same updates as on one."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import chex, jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import jgc
from jgc import optim
from tests.optim.table import N, PARAMS, gradients

plans = [
    jgc.codes.interval(np.linspace(0.1, 0.8, 8), num_partitions=N),
    jgc.codes.stochastic(
        np.linspace(0.1, 0.8, 8), num_partitions=N, key=jax.random.key(0), replication=2
    ),
]
mesh = Mesh(np.array(jax.devices()), ("workers",))
assert mesh.size == 4
spread = NamedSharding(mesh, PartitionSpec("workers"))
mask = np.arange(8) % 3 > 0
for plan in plans:
    messages = plan.encode(gradients(0, (N,)))
    for make in (optim.coded_sgd, optim.two_track_adam):
        optimizer = make(plan, 0.1)
        state = optimizer.init(PARAMS)
        step = jax.jit(lambda m, who: optimizer.update(m, state, PARAMS, answered=who))
        alone = step(messages, mask)
        sharded = step(jax.device_put(messages, spread), jax.device_put(mask, spread))
        chex.assert_trees_all_close(sharded, alone, rtol=1e-5, atol=1e-6)
        decode = jax.jit(lambda m: optim.decode(plan).update(m, (), answered=mask)[0])
        hlo = decode.lower(jax.device_put(messages, spread)).compile().as_text()
        assert "all-reduce" in hlo and "all-gather" not in hlo, hlo
print("same")
"""


@pytest.mark.slow
def test_sharded_messages_give_the_same_updates():
    flags = "--xla_force_host_platform_device_count=4"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "same", done.stderr[-3000:]
