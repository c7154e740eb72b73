import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgc.detection.data import assign_partitions


@given(n=st.integers(1, 40), extra=st.integers(0, 300), seed=st.integers(0, 2**32))
def test_shares_are_equal_and_follow_from_the_seed(n, extra, seed):
    partition = assign_partitions(n + extra, num_partitions=n, seed=seed)
    assert partition.dtype == np.int32
    assert partition.shape == (n + extra,)
    sizes = np.bincount(partition, minlength=n)
    assert len(sizes) == n
    assert sizes.max() - sizes.min() <= 1
    assert sizes.min() >= 1
    again = assign_partitions(
        n + extra, num_partitions=n, seed=np.random.default_rng(seed)
    )
    np.testing.assert_array_equal(partition, again)


def test_seeds_differ():
    one = assign_partitions(100, num_partitions=10, seed=1)
    assert (one != assign_partitions(100, num_partitions=10, seed=2)).any()


def test_bad_numbers_are_refused():
    with pytest.raises(ValueError, match=r"num_examples=3 .* num_partitions=4"):
        assign_partitions(3, num_partitions=4)
    with pytest.raises(ValueError, match="num_partitions=0 must be at least 1"):
        assign_partitions(3, num_partitions=0)
