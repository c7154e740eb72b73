import itertools

import numpy as np
import pytest

import jgc
from jgc.training import balance
from jgc.training._placement import device_coefficients, held_partitions

RNG = np.random.default_rng(0)
# LPT alone gives 7 here: 3 + 2 + 2 and 3 + 2.
LOADS = [[3, 3, 2, 2, 2], [0, 0], [5], *(RNG.integers(0, 9, 7) for _ in range(10))]


@pytest.mark.parametrize("loads", LOADS, ids=str)
@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_no_other_assignment_has_a_smaller_largest_load(loads, num_devices):
    def largest(device):
        return np.bincount(device, loads, minlength=num_devices).max()

    every = itertools.product(range(num_devices), repeat=len(loads))
    device = balance(loads, num_devices=num_devices)
    assert largest(device) == min(largest(np.array(choice)) for choice in every)
    assert set(device) <= set(range(num_devices))


@pytest.mark.parametrize("num_devices", [1, 3, 20])
def test_devices_add_up_to_what_the_master_decodes(num_devices):
    p = np.linspace(0.1, 0.8, 7)
    plan = jgc.codes.interval(p, num_partitions=9)
    device = balance(plan.batch_sizes, num_devices=num_devices)
    mask = np.arange(7) % 3 > 0
    v = np.where(mask, np.stack([plan.weights, RNG.normal(size=7)]), 0)
    each = device_coefficients(plan, device, v, num_devices=num_devices)
    assert each.shape == (2, num_devices, 9)
    np.testing.assert_allclose(each.sum(1), v @ plan.encoding_matrix(), atol=1e-5)
    np.testing.assert_allclose(
        each[0].sum(0), jgc.decoders.fixed.coefficients(plan, mask), atol=1e-5
    )
    held = held_partitions(plan, device, num_devices=num_devices)
    assert (np.asarray(each)[:, ~held] == 0).all()
    assert (held.sum(1) <= np.bincount(device, plan.batch_sizes, num_devices)).all()


@pytest.mark.parametrize(
    ("loads", "num_devices", "parts"),
    [
        ([1, -1], 2, ("loads", "≥ 0", "-1")),
        ([1.5], 2, ("loads", "integers", "1.5")),
        ([1], 0, ("num_devices", "≥ 1", "0")),
    ],
)
def test_errors_name_the_argument(loads, num_devices, parts):
    with pytest.raises(ValueError) as error:
        balance(loads, num_devices=num_devices)
    for part in parts:
        assert part in str(error.value)
