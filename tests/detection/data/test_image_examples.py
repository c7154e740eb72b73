import pickle

import chex
import jax
import numpy as np
import pytest

from jgc.detection.data import (
    assign_partitions,
    generate_shapes,
    image_examples,
    load_split,
    open_source,
)
from jgc.training import open_reader, partitioned


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    shapes = generate_shapes(folder / "shapes", num_train=11, num_val=1, image_size=32)
    return open_source(shapes, split="train", cache_dir=folder)


@pytest.mark.parametrize("max_objects", [None, 2, 90])
def test_examples_are_those_of_the_loaded_split(source, max_objects):
    loaded = load_split(source, size=16, max_objects=max_objects).examples
    examples = image_examples(source, size=16, max_objects=max_objects)
    assert len(examples) == 11
    for index in (0, 7, -1):
        expected = jax.tree.map(lambda leaf, i=index: leaf[i], loaded)
        chex.assert_trees_all_equal(examples[index], expected)


def test_a_limit_takes_the_first_by_id(source):
    examples = image_examples(source, size=8, limit=4)
    assert len(examples) == 4
    with pytest.raises(IndexError):
        examples[4]
    assert len(image_examples(source, size=8, limit=99)) == 11


@pytest.mark.parametrize("name", ["size", "max_objects", "limit"])
def test_numbers_below_one_are_refused(source, name):
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        image_examples(source, **{"size": 8, name: 0})


def test_a_worker_that_is_sent_its_partitions_reads_its_batches_itself(source):
    whole = partitioned(
        image_examples(source, size=16),
        assign_partitions(11, num_partitions=3),
        num_partitions=3,
        batch_size=2,
    )
    key = jax.random.key(3)
    sent = pickle.dumps(whole.select([2, 0]))
    assert len(sent) < 2000
    with (
        open_reader(pickle.loads(sent), key) as worker,
        open_reader(whole, key) as everything,
    ):
        for iteration in (4, 5, 6):
            expected = jax.tree.map(
                lambda leaf: leaf[np.array([2, 0])], everything.read(iteration)
            )
            chex.assert_trees_all_equal(worker.read(iteration), expected)
