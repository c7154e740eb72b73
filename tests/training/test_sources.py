import numpy as np
import pytest

from jgc.training import arrays
from jgc.training._sources import collect, read_examples


def test_arrays_are_not_copied_and_selections_hold_their_rows_alone():
    tree = {"x": np.arange(20).reshape(10, 2), "y": np.arange(10)}
    source = arrays(tree)
    assert source.tree["x"] is tree["x"]
    assert len(source) == 10
    assert source[3]["x"].tolist() == [6, 7]
    few = source.select(np.array([7, 2]))
    assert len(few) == 2
    assert few.tree["y"].base is not tree["y"]
    assert few.take(np.array([[1], [0]]))["y"].tolist() == [[2], [7]]


@pytest.mark.parametrize(
    "tree",
    [{}, np.float32(3), {"x": np.zeros((3, 1)), "y": np.zeros(4)}, np.zeros((0, 2))],
)
def test_arrays_without_one_leading_axis_are_refused(tree):
    with pytest.raises(ValueError, match=r"arrays must have a leading axis.*shapes"):
        arrays(tree)


def test_any_sequence_is_a_source():
    examples = [(np.full(2, i, np.int16), i % 2 == 0) for i in range(5)]
    x, is_even = read_examples(examples, [4, 1, 1])
    assert x.tolist() == [[4, 4], [1, 1], [1, 1]]
    assert x.dtype == np.int16
    assert is_even.tolist() == [True, False, False]
    assert is_even.dtype == bool


@pytest.mark.parametrize("other", [np.zeros(3), {"x": np.zeros(2)}])
def test_examples_of_several_shapes_are_refused(other):
    with pytest.raises(ValueError, match=r"same shapes; got \(2,\) and"):
        collect([np.zeros(2), other], 2)
