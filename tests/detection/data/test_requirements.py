import importlib
import sys

import pytest

from jgc.detection.data import _requirements


@pytest.mark.parametrize("module", ["PIL", "array_record", "tensorflow_datasets"])
def test_a_missing_dependency_names_the_extra(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{module} .*'jgc\[detection\]'"):
        importlib.reload(_requirements)
