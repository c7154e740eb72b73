import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.training import _reader, arrays, open_reader, partitioned

PARTITION = np.arange(60) % 4
KEY = jax.random.key(2)


class Files:
    """Stands for a folder: example i is read one by one, by any thread."""

    def __init__(self, broken=()):
        self.read = []
        self.broken = set(broken)

    def __len__(self):
        return PARTITION.size

    def __getitem__(self, index):
        self.read.append(index)
        if index in self.broken:
            raise OSError(f"file {index} is broken")
        return {"x": np.full((2, 3), index, np.int16)}


def cut(source, batch_size=3):
    return partitioned(source, PARTITION, num_partitions=4, batch_size=batch_size)


def rows_of(batch):
    return batch.examples["x"][..., 0, 0]


@pytest.mark.parametrize("read_ahead", [0, 1, 2, 5])
@pytest.mark.parametrize("iterations", [range(40), [7, 8, 9, 3, 3, 1000, 1001, 0]])
def test_batches_are_those_of_their_iteration_in_any_order(read_ahead, iterations):
    data = cut(Files())
    with open_reader(data, KEY, read_ahead=read_ahead, num_threads=3) as reader:
        for iteration in iterations:
            batch = reader.read(iteration)
            np.testing.assert_array_equal(rows_of(batch), data.rows(KEY, iteration))
            np.testing.assert_allclose(batch.weights, 1 / 12, rtol=1e-6)


def test_little_is_read_ahead_and_threads_end():
    source = Files()
    data = cut(source)
    reader = open_reader(data, KEY, read_ahead=2, num_threads=3)
    for iteration in range(6):
        reader.read(iteration)
    reader.close()
    assert len(source.read) <= (6 + 2) * 12 + 2 * 3
    for thread in threading.enumerate():
        if thread.name.startswith(("grain", "jgc-reader")):
            thread.join(10)
            assert not thread.is_alive()
    with pytest.raises(ValueError, match="the reader is closed"):
        reader.read(6)


@pytest.mark.parametrize("read_ahead", [0, 2])
def test_all_examples_are_read_once_and_kept(read_ahead):
    source = Files()
    with open_reader(cut(source, 0), KEY, read_ahead=read_ahead) as reader:
        first = reader.read(5)
        assert reader.read(6) is first
        assert reader.read(0) is first
    assert sorted(source.read) == list(range(PARTITION.size))
    np.testing.assert_array_equal(
        PARTITION[rows_of(first)], first.partition[:, None].repeat(15, 1)
    )


@pytest.mark.parametrize("read_ahead", [0, 2])
def test_a_broken_example_is_raised_where_it_is_due_and_others_are_read(read_ahead):
    data = cut(Files())
    broken = int(data.rows(KEY, 4)[2, 1])
    before = [t for t in range(4) if broken not in np.asarray(data.rows(KEY, t))]
    data.source.broken.add(broken)
    with open_reader(data, KEY, read_ahead=read_ahead) as reader:
        for iteration in before:
            reader.read(iteration)
        with pytest.raises(OSError, match=f"file {broken} is broken"):
            reader.read(4)
        data.source.broken.clear()
        for iteration in (4, 5):
            found = rows_of(reader.read(iteration))
            np.testing.assert_array_equal(found, data.rows(KEY, iteration))


def test_arrays_need_no_grain_and_stay_where_they_are(monkeypatch):
    def missing(module, *, extra):
        raise ImportError(f"{module} of {extra}")

    monkeypatch.setattr(_reader, "require", missing)
    with pytest.raises(ImportError, match="grain of data"):
        open_reader(cut(Files()), KEY)
    values = np.arange(60)
    for source, kind in ((values, np.ndarray), (jnp.asarray(values), jax.Array)):
        data = cut(arrays(source))
        with open_reader(data, KEY) as reader:
            for iteration in (3, 4, 9):
                batch = reader.read(iteration)
                assert isinstance(batch.examples, kind)
                np.testing.assert_array_equal(batch.examples, data.rows(KEY, iteration))


def test_batches_are_placed_ahead_of_their_use():
    threads = []

    def place(batch):
        threads.append(threading.current_thread())
        return jax.device_put(batch)

    with open_reader(cut(Files()), KEY, place=place) as reader:
        batch = reader.read(0)
        assert isinstance(batch.examples["x"], jax.Array)
        assert isinstance(batch.weights, jax.Array)
    assert threading.current_thread() not in threads


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"read_ahead": -1}, "read_ahead must be an integer ≥ 0"),
        ({"num_threads": 0}, "num_threads must be an integer ≥ 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        open_reader(cut(Files()), KEY, **arguments)
    with (
        open_reader(cut(Files()), KEY) as reader,
        pytest.raises(ValueError, match="iteration must be an integer ≥ 0, got -1"),
    ):
        reader.read(-1)
