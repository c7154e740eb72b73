"""Several nodes: sums where the messages are, and what is lost with a node."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# In a process of its own: this process has a Ray of its own already.
PROGRAM = """
import chex
import jax
import numpy as np
import optax
import ray as ray_library
from ray.cluster_utils import Cluster

import jgc
from jgc.distributed import WorkerPool, ray, wait_for
from jgc.training import Job, arrays, partitioned, simulated

K, SIZE = 6, 60_000  # of messages that Ray does not send along with the answer
plan = jgc.codes.interval(np.full(K, 0.3), num_partitions=K, layers=2)
x = np.random.default_rng(0).normal(size=24).astype(np.float32)
data = partitioned(arrays(x), np.arange(24) % K, num_partitions=K, batch_size=2)
job = Job(plan=plan, data=data)
direction = np.random.default_rng(1).normal(size=SIZE).astype(np.float32)
params = direction / np.linalg.norm(direction)


def loss(params, x):
    return (x * (direction @ params) / 100 - 1) ** 2


masks = np.random.default_rng(2).random((9, K)) > 0.3
masks[[0, 3, 6]] = True

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
cluster.wait_for_nodes(timeout=300)
with WorkerPool(K, address=cluster.address) as pool:
    path = ray(loss, optax.sgd(0.1), pool=pool, policy=wait_for(K))
    total = pool.total
    with path(job) as run:
        state = run.init(jax.random.key(0), params)
        where = np.array([slot.node for slot in pool._slots])
        own = ray_library.get_runtime_context().get_node_id()
        far = [node for node in nodes if node.node_id in where]
        assert far, where
        received = []
        for t, mask in enumerate(masks):
            if t == 3:  # the aggregators die
                for actor in pool._nodes._actors.values():
                    ray_library.kill(actor)
            if t == 6:  # a node leaves when all have answered, with its messages

                def leave(*arguments):
                    pool.total = total
                    cluster.remove_node(far[0])
                    return total(*arguments)

                pool.total = leave
            state, report = run.step(state, mask)
            np.testing.assert_array_equal(report.answered, mask)
            received.append(report.details.received)
            vectors = len(set(where[mask]) - {own})
            if t < 3:  # however many workers a node has
                assert received[-1] == vectors * 4 * SIZE, (t, received)
            if t == 3:  # the messages themselves
                assert received[-1] == (where != own).sum() * 4 * SIZE
            if t == 6:
                assert report.details.lost >= (where == far[0].node_id).sum() > 0
with simulated(loss, optax.sgd(0.1))(job) as run:
    expected = run.init(jax.random.key(0), params)
    for mask in masks:
        expected, _ = run.step(expected, mask)
chex.assert_trees_all_close(state.params, expected.params, rtol=1e-4, atol=1e-6)
moved = np.linalg.norm(expected.params - params)
assert np.linalg.norm(state.params - expected.params) < 1e-4 * moved
ray_library.shutdown()
cluster.shutdown()
"""


def test_sums_on_nodes_aggregators_that_die_and_messages_that_are_lost():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr[-5000:]
