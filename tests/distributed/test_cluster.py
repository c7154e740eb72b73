"""The Ray that is started where none is named."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import os
import ray
from jgc.distributed._cluster import connect

def priority():
    return os.getpriority(os.PRIO_PROCESS, 0)

connect()
print(ray.get(ray.remote(priority).remote()) - priority())
"""


@pytest.mark.parametrize("told", [None, 3])
def test_workers_are_as_urgent_as_the_driver_unless_told(told):
    pytest.importorskip("ray")
    environment = {k: v for k, v in os.environ.items() if k != "RAY_worker_niceness"}
    if told is not None:
        environment["RAY_worker_niceness"] = str(told)
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert result.stdout == f"{told or 0}\n", result.stderr
