import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# In a process of its own: this process has a Ray of its own already. Workers need a
# processor, of which the head has none, so that all begin on the node that leaves: an
# affinity to it that allows others may put them on the head, and nobody is lost.
PROGRAM = """
import time
import ray
from ray.cluster_utils import Cluster
from jgc.distributed import WorkerPool, fixed_deadline
from tests.distributed.helpers import K, assert_is_simulated, on_processes, start

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
leaving = cluster.add_node(num_cpus=K)
options = {"num_cpus": 1}
with WorkerPool(K, address=cluster.address, actor_options=options) as pool:
    with on_processes(pool, policy=fixed_deadline(0.3)) as run:
        state, masks, lost = start(run), [], 0
        began = time.monotonic()
        while not (lost and masks[-1].any()):
            if len(masks) == 2:
                cluster.add_node(num_cpus=K)
                cluster.remove_node(leaving)
            state, report = run.step(state)
            masks.append(report.answered)
            lost += report.details.lost
            # How long Ray takes to notice, and a process to start, is the machine's.
            assert time.monotonic() - began < 600
            time.sleep(0.05)
        assert_is_simulated(state, masks)
        assert not all(mask.any() for mask in masks)
ray.shutdown()
cluster.shutdown()
"""


def test_workers_of_a_node_that_leaves_move_to_the_others():
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr[-5000:]
