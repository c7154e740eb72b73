"""Who may connect to the Ray that jgc starts."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

PROGRAM = """
import sys
import ray

ray.init(address=sys.argv[1], log_to_driver=False)
print("in", ray.get(ray.remote(lambda: 1 + 1).remote()))
"""


def test_a_stranger_without_the_token_is_refused(ray_cluster):
    import ray

    address = ray.get_runtime_context().gcs_address
    visitors = {
        "owner": {},
        "another token": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
        "none": {"RAY_AUTH_MODE": "disabled"},
    }
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", PROGRAM, address],
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, environment in visitors.items()
    }
    ended = {name: process.communicate() for name, process in processes.items()}
    assert ended["owner"][0] == "in 2\n", ended["owner"]
    for name in ("another token", "none"):
        out, error = ended[name]
        assert out == "", (name, out)
        assert "ConnectionError" in error, (name, error)
