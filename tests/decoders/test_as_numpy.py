import itertools
import pickle

import numpy as np
import pytest

import jgc
from jgc import decoders

P = [0.1, 0.3, 0.2, 0.4]
PLAN = jgc.codes.fractional_repetition(P, num_partitions=4, replication=2)
MASKS = np.array(list(itertools.product([False, True], repeat=4))).T  # (4, 16)
DECODERS = [
    decoders.fixed,
    decoders.representative,
    decoders.best_unbiased(PLAN, gradients=0.5),
    decoders.two_track(PLAN, noise_ratio=2.0),
]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_weights_are_the_decoders(decoder):
    weights = decoders.as_numpy(decoder, PLAN)
    weights = pickle.loads(pickle.dumps(weights))
    together = weights(MASKS)
    assert type(together) is np.ndarray
    together += 0  # may be written to
    np.testing.assert_allclose(together, decoder(PLAN, MASKS), rtol=1e-6)
    for mask, own in zip(MASKS.T, np.moveaxis(together, -1, 0), strict=True):
        one = weights(mask.tolist())
        np.testing.assert_allclose(one, own, rtol=1e-6)
        assert (one[..., ~mask] == 0).all()


def aggregate(weights, messages, num_workers):
    """As a server would, of whatever has + and *: messages by worker, in layers."""
    v = weights([worker in messages for worker in range(num_workers)])
    return [
        sum(float(v[worker]) * layer for worker, layer in zip(messages, own))  # noqa: B905
        for own in zip(*messages.values(), strict=True)
    ]


def check_aggregation(array):
    """Layers that `array` makes of NumPy's, for every set of workers that answer."""
    rng = np.random.default_rng(0)
    gradients = {"a": rng.normal(size=(4, 3)), "b": rng.normal(size=(4, 2, 2))}
    messages = {name: np.asarray(leaf) for name, leaf in PLAN.encode(gradients).items()}
    decoder = DECODERS[2]
    weights = decoders.as_numpy(decoder, PLAN)
    for mask in MASKS.T[1:]:
        came = {
            int(i): [array(leaf[i]) for leaf in messages.values()]
            for i in np.flatnonzero(mask)
        }
        found = aggregate(weights, came, PLAN.num_workers)
        expected = jgc.decode(messages, decoder(PLAN, mask))
        for layer, other in zip(found, expected.values(), strict=True):
            assert type(layer) is type(array(np.zeros(1)))
            np.testing.assert_allclose(np.asarray(layer), other, rtol=1e-4, atol=1e-5)


def test_lists_of_arrays_as_flower_has_them():
    check_aggregation(np.array)


def test_tensors_of_torch():
    check_aggregation(pytest.importorskip("torch").tensor)


@pytest.mark.wrong_types
def test_bad_arguments():
    with pytest.raises(ValueError, match=r"decoder must be .* got 'fixed'"):
        decoders.as_numpy("fixed", PLAN)
    with pytest.raises(ValueError, match="graph"):
        decoders.as_numpy(
            decoders.graph, jgc.codes.interval(P, num_partitions=4, layers=2)
        )
    weights = decoders.as_numpy(decoders.fixed, PLAN)
    for wrong in ([True] * 3, [1.0] * 4):
        with pytest.raises(ValueError, match="answered"):
            weights(wrong)
