import importlib
import sys

import pytest

from jgc.detection.data import _requirements, open_source


@pytest.mark.parametrize("module", ["PIL", "grain", "msgspec"])
def test_a_missing_dependency_names_the_extra(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{module} .*'jgc\[detection\]'"):
        importlib.reload(_requirements)


@pytest.mark.parametrize("module", ["array_record", "tensorflow_datasets"])
def test_only_what_tfds_prepared_needs_tfds(module, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, module, None)
    for name in ("dataset_info.json", "features.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ImportError, match=rf"{module} .*'jgc\[detection\]'"):
        open_source(tmp_path, split="train")
