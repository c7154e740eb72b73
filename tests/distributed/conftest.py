import pytest

from jgc.distributed._cluster import connect


@pytest.fixture(scope="session")
def ray_cluster():
    """One Ray for all tests here, on a machine of two cores."""
    ray = pytest.importorskip("ray")
    connect()
    yield
    ray.shutdown()
