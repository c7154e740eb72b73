import gc

import jax
import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tests, and what they start, leave the user's cache directory alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JGC_CACHE", str(tmp_path_factory.mktemp("cache")))
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
