import numpy as np
import pytest

from jgc import codes
from jgc.stragglers import load_trace, slope_of, trace, with_load

SECONDS = np.array([[1.0, 2.0, 4.0, 1.0], [1.0, 3.0, 1.0, 2.0]])
RECORDED = trace(SECONDS)


def test_the_work_scales_with_the_load_and_the_rest_does_not():
    loaded = with_load(RECORDED, work_fraction=0.25)
    np.testing.assert_allclose(loaded.seconds(1 / 4), SECONDS)
    np.testing.assert_allclose(loaded.seconds(2 / 4), 1.25 * SECONDS)
    np.testing.assert_allclose(loaded.seconds(0.0), 0.75 * SECONDS)
    uneven = loaded.seconds([0.5, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(uneven, SECONDS * [1.25, 1, 1, 0.75])


def test_seconds_of_parts_are_those_of_their_workers_at_less_load():
    loaded = with_load(RECORDED, work_fraction=0.25)
    parts = codes.split(codes.uncoded([0.1] * 4, num_partitions=8))
    seconds = loaded.seconds(parts.share, worker=parts.worker)
    np.testing.assert_allclose(seconds[:, 1::2], SECONDS)
    np.testing.assert_allclose(seconds[:, ::2], 0.875 * SECONDS)
    late = loaded.probabilities(parts.share, 3.0, worker=parts.worker)
    assert (np.diff(late.reshape(4, 2)) >= 0).all()
    with pytest.raises(ValueError, match="worker"):
        loaded.seconds(parts.share, worker=parts.worker + 1)


def test_a_slope_adds_seconds():
    loaded = with_load(RECORDED, slope=2.0, recorded_load=0.5)
    np.testing.assert_allclose(loaded.seconds(0.75), SECONDS + 0.5)
    np.testing.assert_allclose(loaded.seconds(0.25), SECONDS - 0.5)
    assert (with_load(RECORDED, slope=9.0, recorded_load=0.5).seconds(0.0) == 0).any()


def test_p_grows_with_the_load():
    loaded = with_load(RECORDED, work_fraction=1.0)
    light, heavy = (loaded.probabilities(x, 2.5) for x in (0.25, 0.75))
    np.testing.assert_allclose(light, [1 / 6, 0.5, 0.5, 1 / 6])
    assert (heavy >= light).all()
    assert (heavy > light).any()
    assert (heavy < 1).all()
    model = loaded.shifted_exponential(0.25)
    later = loaded.shifted_exponential(0.5)
    assert (later.survival(3.0) >= model.survival(3.0)).all()


def test_answers_that_never_came_stay_so():
    never = trace(np.where(SECONDS == 4, np.inf, SECONDS), missing_is_late=True)
    for loaded in (
        with_load(never, work_fraction=1.0),
        with_load(never, slope=1.0, recorded_load=0.25),
    ):
        assert np.isinf(loaded.seconds(0.1)[0, 2])
        assert np.isfinite(loaded.seconds(0.1)).sum() == 7


def test_rounds_stay_whole():
    loaded = with_load(RECORDED, work_fraction=0.5).rounds(1, 2)
    np.testing.assert_allclose(loaded.seconds(0.5), 1.5 * SECONDS[1:])


def test_slope_from_two_traces():
    rng = np.random.default_rng(0)
    each = np.array([1.0, 1.0, 1.0, 3.0])

    def at(load, rounds):
        noise = rng.exponential(size=(rounds, 4)) * 0.1
        return trace(1 + each * load + noise)

    found = slope_of(at(0.2, 400), 0.2, at(0.6, 400), 0.6)
    np.testing.assert_allclose(found, each, atol=0.15)
    # Of few rounds, all workers are taken to be much alike.
    few = slope_of(at(0.2, 2), 0.2, at(0.3, 2), 0.3)
    assert np.ptp(few) < 2 * np.ptp(each) + 0.5
    with pytest.raises(ValueError, match="must differ from load"):
        slope_of(RECORDED, 0.2, RECORDED, 0.2)
    with pytest.raises(ValueError, match="must have the 4 workers"):
        slope_of(RECORDED, 0.2, trace(SECONDS[:, :3]), 0.3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give one of work_fraction and slope"),
        ({"work_fraction": 0.1, "slope": 1.0}, "give one of work_fraction and slope"),
        ({"work_fraction": 1.1}, r"work_fraction must be .* in \[0, 1\], got 1.1"),
        ({"work_fraction": np.nan}, "work_fraction must be"),
        ({"work_fraction": 0.1, "recorded_load": 0.1}, "recorded_load goes with slope"),
        ({"slope": 1.0}, "slope needs recorded_load"),
        ({"slope": -1.0, "recorded_load": 0.1}, "slope must lie in"),
        ({"slope": [1.0, 2.0], "recorded_load": 0.1}, "slope must be a number or 4"),
        ({"slope": 1.0, "recorded_load": 2.0}, "recorded_load must lie in"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        with_load(RECORDED, **options)


def write(tmp_path, text):
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


def test_long_csv_is_read(tmp_path):
    lines = "Round,seconds,worker\n10,1.5,b\n10,2.5,a\n2,3.5,a\n2,4.5,b\n"
    found = load_trace(write(tmp_path, lines))
    assert found.workers == ("b", "a")  # names have no order but that of mention
    np.testing.assert_allclose(found.latencies, [[4.5, 3.5], [1.5, 2.5]])
    numbered = "worker,round,seconds\n10,0,1\n9,0,2\n"
    assert load_trace(write(tmp_path, numbered)).workers == ("9", "10")


def test_long_csv_with_answers_that_never_came(tmp_path):
    path = write(tmp_path, "worker,round,seconds\na,0,1\nb,0,2\na,1,3\n")
    with pytest.raises(ValueError, match=r"must be finite.*in round 1 of worker b"):
        load_trace(path)
    found = load_trace(path, missing_is_late=True)
    np.testing.assert_array_equal(found.latencies, [[1, 2], [3, np.inf]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("worker,round,seconds\n", "no answer below"),
        ("worker,round,seconds\na,0,1\na,0,2\nb,0,1\n", "line 3: worker a has another"),
        ("worker,round,seconds\na,0,x\n", "line 2, worker a: 'x' is not a number"),
        ("worker,round,seconds\na,0\n", "line 2 has 2 cells"),
        ("worker,round,seconds\na,0,1\na,1,1\n", "at least two workers"),
    ],
)
def test_unusable_long_csv(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        load_trace(write(tmp_path, text))
