import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Tests, and what they start, leave the user's cache directory alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JGC_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
