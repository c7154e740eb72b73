import os

import pytest

from jgc.distributed._cluster import connect

# Of clusters that tests start themselves; beside busy processes they would take hours.
os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.fixture(scope="session")
def ray_cluster():
    """One Ray for all tests here, on a machine of two cores."""
    ray = pytest.importorskip("ray")
    # Workers import `tests` from the folder that Ray was started in; a page of the
    # documentation, run in this process before, starts it in another.
    ray.shutdown()
    connect()
    yield
    ray.shutdown()
