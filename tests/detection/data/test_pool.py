import itertools
import threading
import time

import pytest

from jgc.detection.data._pool import default_threads, map_in_order


def test_results_come_in_order():
    def slow_first(item):
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    results = map_in_order(slow_first, range(20), num_threads=4)
    assert list(results) == [item * item for item in range(20)]


def test_it_works_ahead_by_a_bounded_amount():
    taken = itertools.count()
    results = map_in_order(str, taken, num_threads=2)
    assert next(results) == "0"
    assert next(taken) <= 8
    results.close()


def test_an_exception_reaches_the_consumer():
    def fail(item):
        raise KeyError(item)

    with pytest.raises(KeyError):
        list(map_in_order(fail, [1], num_threads=2))


def test_stopping_early_stops_the_threads():
    before = threading.active_count()
    results = map_in_order(str, range(1000), num_threads=3)
    next(results)
    results.close()
    assert threading.active_count() == before


def test_bad_numbers_are_refused():
    assert default_threads() >= 1
    with pytest.raises(ValueError, match="num_threads=0 must be at least 1"):
        next(map_in_order(str, [1], num_threads=0))
