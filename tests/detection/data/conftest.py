import types

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.object_detection import coco


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("JGC_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def coco_2017(tmp_path, monkeypatch):
    """TFDS's own coco/2017 builder, with the bits of TensorFlow that it touches."""
    gfile = types.SimpleNamespace(GFile=open)
    tensorflow = types.SimpleNamespace(
        int64=np.int64, io=types.SimpleNamespace(gfile=gfile)
    )
    monkeypatch.setattr(coco, "tf", tensorflow)
    return tfds.builder("coco/2017", data_dir=str(tmp_path / "tfds"))
