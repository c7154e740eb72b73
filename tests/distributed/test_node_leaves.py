import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# In a process of its own: this process has a Ray of its own already.
PROGRAM = """
import time
import numpy as np
import ray
from ray.cluster_utils import Cluster
from jgc.distributed import WorkerPool, fixed_deadline
from tests.distributed.test_faults import K, assert_is_simulated, driver_of
from tests.training import problems

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
node = cluster.add_node(num_cpus=1)
cluster.wait_for_nodes()
spread = {"scheduling_strategy": "SPREAD"}  # or the node that leaves may have nobody
with WorkerPool(K, address=cluster.address, actor_options=spread) as pool:
    driver = driver_of(pool, policy=fixed_deadline(0.3))
    state, masks = driver.init(problems.params()), []
    lost = 0
    while not (lost and masks[-1].all()):
        if len(masks) == 2:
            cluster.remove_node(node)
        state, round = driver.advance(state)
        masks.append(round.mask)
        lost += round.lost
        assert len(masks) < 1000
        time.sleep(0.05)
    assert not all(mask.all() for mask in masks)
    assert_is_simulated(state, masks)
ray.shutdown()
cluster.shutdown()
"""


def test_workers_of_a_node_that_leaves_move_to_the_others():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr[-5000:]
