import gc
import importlib
import os
import sys

import jax
import jaxtyping
import pytest

TYPES_ARE_CHECKED = bool(os.environ.get("JGC_TYPECHECK"))
if TYPES_ARE_CHECKED:  # before anything imports jgc
    importlib.import_module("tests.typechecker")  # the hook looks it up by name
    assert "jgc" not in sys.modules
    jaxtyping.install_import_hook("jgc", "tests.typechecker.check_calls")


# Accelerators multiply float32 in fewer bits unless told; CPUs do not.
jax.config.update("jax_default_matmul_precision", "highest")


def pytest_configure(config):
    # Not in pyproject.toml, where pytest would import jgc ahead of the hook.
    config.addinivalue_line(
        "filterwarnings", "ignore::jgc.codes.NegativeCoefficientWarning"
    )


def pytest_collection_modifyitems(items):
    # Files with slow tests first: one that came last would keep one process waiting.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    if TYPES_ARE_CHECKED:
        skip = pytest.mark.skip(reason="the types are refused before jgc sees them")
        for item in items:
            if item.get_closest_marker("wrong_types"):
                item.add_marker(skip)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tests, and what they start, leave the user's cache directory alone.

    They share one, so that what takes long is compiled once, in whatever process.
    """
    session = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        session = session.parent
    cache = session / "cache"
    jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JGC_CACHE", str(cache))
        yield


@pytest.fixture(scope="module", autouse=True)
def _programs_of_one_module():
    """Compiled programs go with the module that needed them.

    Each maps memory of its own, and a process that reaches the kernel's limit
    (`vm.max_map_count`, usually 65,530) dies in the middle of a compilation.
    """
    yield
    jax.clear_caches()
    gc.collect()
