import ipaddress
import os
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


def own_processes():
    """This one and all that descend from it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        parents[int(stat.parent.name)] = int(fields[1])
    own = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    return own


def listening():
    """(address, name of the process) of what our processes listen on by TCP."""
    names = {}
    for pid in own_processes():
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            for file in Path(f"/proc/{pid}/fd").iterdir():
                names[os.readlink(file)] = name
        except OSError:
            continue
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            name = names.get(f"socket:[{fields[9]}]")
            if fields[3] == "0A" and name is not None:
                words = bytes.fromhex(fields[1].split(":")[0])
                words = b"".join(
                    words[i : i + 4][::-1] for i in range(0, len(words), 4)
                )
                yield ipaddress.ip_address(words), name


class Idle:
    def pid(self):
        return os.getpid()


def test_ray_of_this_machine_listens_on_loopback_alone(ray_cluster):
    ray = pytest.importorskip("ray")
    worker = ray.remote(num_cpus=0)(Idle).remote()
    assert ray.get(worker.pid.remote()) in own_processes()
    found = list(listening())
    ray.kill(worker)
    names = {name for _, name in found}
    assert {"raylet", "gcs_server"} <= names
    assert any(name.startswith("ray::") for name in names)  # the worker
    for address, name in found:
        mapped = getattr(address, "ipv4_mapped", None) or address
        assert mapped.is_loopback, (address, name)
