import itertools
import threading

import chex
import jax
import numpy as np
import pytest

from jgc.detection.data import (
    StreamedSplit,
    generate_shapes,
    load_split,
    open_source,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    shapes = generate_shapes(folder / "shapes", num_train=7, num_val=1, image_size=32)
    return open_source(shapes, split="train", cache_dir=folder)


def test_batches_are_those_of_the_loaded_split(source):
    loaded = load_split(source, size=16, max_objects=2).examples
    stream = StreamedSplit(source=source, size=16, max_objects=2, num_threads=2)
    wanted = [np.array([3, 0, 6]), np.array([6, 6, 1]), np.array([5, 2, 4])]
    found = list(stream.batches(iter(wanted)))
    assert len(found) == len(wanted)
    for batch, indices in zip(found, wanted, strict=True):
        expected = jax.tree.map(lambda leaf, i=indices: leaf[i], loaded)
        chex.assert_trees_all_equal(batch, expected)


def test_an_endless_stream_reads_little_ahead_and_ends_its_threads(source):
    before = threading.active_count()
    asked = itertools.count()
    stream = StreamedSplit(source=source, size=16, max_objects=2, num_threads=2)
    batches = stream.batches(np.array([t % 7, 0]) for t in asked)
    for _ in range(5):
        next(batches)
    assert next(asked) <= 5 + 3
    batches.close()
    assert threading.active_count() == before


def test_nothing_asked_for_is_nothing(source):
    stream = StreamedSplit(source=source, size=16, max_objects=2)
    assert list(stream.batches(iter([]))) == []
