import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jgc.detection import (
    Examples,
    colour_jitter,
    expand,
    horizontal_flip,
    random_crop,
    ssd_augmentation,
)
from jgc.detection import _augment as module
from tests.detection.helpers import iou

SIZE, SLOTS, KEYS = 64, 4, 120
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]])  # by label
# Objects of three colours, the last a crowd; a slot of padding.
BOXES = np.array([[6, 10, 29, 26], [32, 19, 61, 58], [3, 38, 22, 61], [0] * 4]) / SIZE
GEOMETRY = [horizontal_flip, expand, random_crop, ssd_augmentation]


@pytest.fixture(scope="module")
def example():
    image = np.full((SIZE, SIZE, 3), 128, np.uint8)
    for (ymin, xmin, ymax, xmax), colour in zip(BOXES[:3], COLOURS, strict=True):
        rows = slice(round(ymin * SIZE), round(ymax * SIZE))
        image[rows, round(xmin * SIZE) : round(xmax * SIZE)] = colour
    return Examples(
        image=jnp.asarray(image),
        boxes=jnp.asarray(BOXES, jnp.float32),
        labels=jnp.array([0, 1, 2, 0]),
        valid=jnp.array([True, True, False, False]),
        crowd=jnp.array([False, False, True, False]),
    )


@functools.cache
def compiled(function):
    return jax.jit(jax.vmap(function, in_axes=(0, None)))


def many(function, example):
    keys = jax.random.split(jax.random.key(1), KEYS)
    return jax.tree.map(np.asarray, compiled(function)(keys, example))


def always_flip(key, example):
    return horizontal_flip(key, example, probability=1.0)


def seen(image, colour):
    """The box of the pixels that are of this colour more than of the others."""
    image = image.astype(int)
    own = image[..., colour] - np.delete(image, colour, axis=-1).max(-1)
    rows, columns = np.nonzero(own > 127)
    if not rows.size:
        return None
    corners = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    return np.array(corners) / SIZE


@pytest.mark.parametrize("function", GEOMETRY)
def test_boxes_follow_the_pixels(function, example):
    if function is ssd_augmentation:  # its colours are tested on their own

        def function(key, example, augment=ssd_augmentation):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "colour_jitter", lambda key, example: example)
                return augment(key, example)

    found = many(function, example)
    assert found.image.shape == (KEYS, SIZE, SIZE, 3)
    assert found.image.dtype == np.uint8
    number = 0
    for image, boxes, labels, valid, crowd in zip(*found, strict=True):
        assert not (valid & crowd).any()
        assert not crowd[[0, 1, 3]].any()
        assert not valid[[2, 3]].any()
        assert not boxes[~(valid | crowd)].any()
        assert not labels[~(valid | crowd)].any()
        for slot in np.flatnonzero(valid | crowd):
            assert labels[slot] == slot
            pixels = seen(image, slot)
            if pixels is None:  # of a crowd, a corner may be seen that is too small
                assert (boxes[slot, 2:] - boxes[slot, :2]).min() < 2 / SIZE
                continue
            number += 1
            np.testing.assert_allclose(boxes[slot], pixels, atol=1.6 / SIZE)
    assert number > KEYS


def test_flips_are_a_mirror_of_half_of_them(example):
    found = many(horizontal_flip, example)
    is_flipped = (found.image != np.asarray(example.image)).any((1, 2, 3))
    assert 0.35 < is_flipped.mean() < 0.65
    flipped = jax.tree.map(lambda leaf: leaf[0], many(always_flip, example))
    back = many(always_flip, flipped)
    np.testing.assert_array_equal(back.image[0], example.image)
    np.testing.assert_allclose(back.boxes[0], example.boxes, atol=1e-6)


def test_the_ground_around_an_expanded_image_has_its_colour(example):
    fill = (10.0, 200.0, 30.0)
    found = many(lambda key, e: expand(key, e, probability=1.0, fill=fill), example)
    assert found.valid[:, :2].all()
    assert found.crowd[:, 2].all()
    ground = (found.image == np.array(fill, np.uint8)).all(-1).mean((1, 2))
    side = (BOXES[0, 2] - BOXES[0, 0]) / (found.boxes[:, 0, 2] - found.boxes[:, 0, 0])
    assert side.min() >= 1
    assert side.max() > 3.5
    assert side.max() <= 4.001
    np.testing.assert_allclose(ground, 1 - 1 / side**2, atol=0.05)


def test_crops_hold_a_centre_overlap_enough_and_are_whole_at_times(example):
    keys = jax.random.split(jax.random.key(2), 2000)

    @jax.jit
    def crops(keys, overlaps):
        return jax.vmap(
            lambda key: module._cropped(key, example, overlaps, 0.3, 2.0, 40)
        )(keys)

    for overlap in (0.0, 0.5, 1.1):
        windows = np.asarray(crops(keys, jnp.array([overlap])))
        is_whole = (windows == [0, 0, 1, 1]).all(1)
        if overlap == 1.1:  # which no window fulfils
            assert is_whole.all()
            continue
        assert 0.45 < is_whole.mean() < 0.6  # one of two options, and rare failures
        size = windows[:, 2:] - windows[:, :2]
        assert (windows >= 0).all()
        assert (windows <= 1).all()
        assert size.min() >= 0.3 - 1e-6
        ratio = (size[:, 0] / size[:, 1])[~is_whole]
        assert ratio.min() >= 0.5
        assert ratio.max() <= 2
        centre = (BOXES[:2, :2] + BOXES[:2, 2:]) / 2
        inside = (windows[:, None, :2] <= centre) & (centre <= windows[:, None, 2:])
        shared = np.array([[iou(w, b) for b in BOXES[:2]] for w in windows[:300]])
        best = np.where(inside.all(-1)[:300], shared, -1).max(1)
        assert (best[~is_whole[:300]] >= overlap - 1e-6).all()


def test_images_without_objects_stay_as_they_are(example):
    empty = example._replace(
        valid=jnp.zeros(SLOTS, bool),
        crowd=jnp.zeros(SLOTS, bool),
        boxes=jnp.zeros((SLOTS, 4)),
    )
    found = many(random_crop, empty)
    np.testing.assert_array_equal(found.image, np.stack([empty.image] * KEYS))
    found = many(ssd_augmentation, empty)
    assert not found.boxes.any()
    assert not (found.valid | found.crowd).any()


def test_objects_whose_centre_is_out_are_left_out(example):
    found = many(random_crop, example)
    assert 0.5 < found.valid[:, :2].mean() < 1
    assert found.valid[:, :2].any(1).all()  # one is always in
    # A crowd stays while any of it is seen: more often than an object of its place.
    as_object = example._replace(
        valid=example.valid.at[2].set(True), crowd=example.crowd.at[2].set(False)
    )
    assert found.crowd[:, 2].mean() > many(random_crop, as_object).valid[:, 2].mean()


def test_colours_change_within_bounds_and_nothing_else(example):
    found = many(colour_jitter, example)
    for name in ("boxes", "labels", "valid", "crowd"):
        expected = np.stack([getattr(example, name)] * KEYS)
        np.testing.assert_array_equal(getattr(found, name), expected)
    is_same = (found.image == np.asarray(example.image)).all((1, 2, 3))
    assert 0.01 < is_same.mean() < 0.15  # 1/16 use none of the four
    grey = found.image[:, -1, 0].astype(int)
    assert (np.ptp(grey, axis=-1) <= 40).all()  # contrast is by channel
    assert grey.min() > 128 - 0.125 * 255 - 45
    reds = found.image[:, round(0.2 * SIZE), round(0.2 * SIZE)]
    assert (reds.argmax(-1) == 0).all()


def test_the_same_key_gives_the_same_one_at_a_time_or_together(example):
    keys = jax.random.split(jax.random.key(1), KEYS)
    together = many(ssd_augmentation, example)
    one_at_a_time = jax.jit(ssd_augmentation)
    for index in range(5):
        alone = one_at_a_time(keys[index], example)
        for one, all_of_them in zip(alone, together, strict=True):
            np.testing.assert_allclose(
                np.asarray(one, np.float32),
                np.asarray(all_of_them[index], np.float32),
                atol=1.01 if one.ndim == 3 else 1e-5,
            )
    assert len({together.image[i].tobytes() for i in range(5)}) == 5


@pytest.mark.parametrize(
    ("function", "options"),
    [
        (horizontal_flip, {"probability": 1.5}),
        (expand, {"most": 0.5}),
        (random_crop, {"min_scale": 0}),
        (random_crop, {"max_aspect": 0.5}),
        (random_crop, {"num_trials": 0}),
        (colour_jitter, {"probability": -0.1}),
    ],
)
def test_options_out_of_range_are_named(function, options, example):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"{name} is {value}; accepted"):
        function(jax.random.key(0), example, **options)
