"""Augmentation of an image together with its boxes, by key: SSD's (Liu et al., 2016).

Each function takes a key and one example, `Examples` without the axis over images, and
returns an example of the same shapes. All are pure, compile once and vmap:

    augmented = jax.vmap(ssd_augmentation)(jax.random.split(key, N), examples)

Cropping and expanding look at the image through a window, (ymin, xmin, ymax, xmax)
relative to it: within it a crop, beyond it an image on a larger ground. The window is
stretched to the image's size again, as images are when they are loaded; its aspect
ratio is relative to that of the original image.
"""

from collections.abc import Sequence

import dm_pix
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jgc.detection import _boxes
from jgc.detection._checks import check
from jgc.detection._types import Examples

_WHOLE = (0.0, 0.0, 1.0, 1.0)
_FILL = (123.0, 117.0, 104.0)  # the mean colour of ImageNet's pictures, as SSD's

Window = Float[Array, "4"]


def horizontal_flip(
    key: Array, example: Examples, *, probability: float = 0.5
) -> Examples:
    """Mirrors left and right.

    Args:
        key: of the example.
        example: one image with its objects.
        probability: of doing so.
    """
    _check_probability(probability)
    is_flipped = jax.random.bernoulli(key, probability)
    ymin, xmin, ymax, xmax = jnp.moveaxis(example.boxes, -1, 0)
    mirrored = jnp.stack([ymin, 1 - xmax, ymax, 1 - xmin], axis=-1)
    is_used = (example.valid | example.crowd)[:, None]  # padding stays 0
    return example._replace(
        image=jnp.where(is_flipped, example.image[:, ::-1], example.image),
        boxes=jnp.where(is_flipped & is_used, mirrored, example.boxes),
    )


def expand(
    key: Array,
    example: Examples,
    *,
    probability: float = 0.5,
    most: float = 4.0,
    fill: Sequence[float] = _FILL,
) -> Examples:
    """Puts the image somewhere on a larger ground, so that objects become small.

    Args:
        key: of the example.
        example: one image with its objects.
        probability: of doing so.
        most: the ground's sides are 1 to so many times the image's, uniformly.
        fill: the ground's colour, 0 to 255.
    """
    _check_probability(probability)
    check("most", most, most >= 1, "at least 1")
    window = _expanded(key, probability, most)
    return _look(example, window, fill, keep=jnp.ones(example.valid.shape, bool))


def random_crop(
    key: Array,
    example: Examples,
    *,
    overlaps: Sequence[float] = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9),
    min_scale: float = 0.3,
    max_aspect: float = 2.0,
    num_trials: int = 40,
) -> Examples:
    """Crops such that some object overlaps the crop enough.

    One of the overlaps is drawn, or the whole image; then a window that holds the
    centre of an object and has at least this IoU with such an object. What no window
    among the trials fulfils is drawn again, so that images without objects stay whole.
    Objects whose centre the window does not hold are left out, crowds where none of
    them is seen.

    Args:
        key: of the example.
        example: one image with its objects.
        overlaps: the least IoU, each as likely as the whole image; 0: a centre will do.
        min_scale: of the window's sides, relative to the image's; in (0, 1].
        max_aspect: its greatest ratio of sides, at least 1.
        num_trials: windows that are tried.
    """
    _check_crop(min_scale, max_aspect, num_trials)
    crop = _cropped(key, example, overlaps, min_scale, max_aspect, num_trials)
    return _look(example, crop, _FILL, keep=_is_seen(example, crop))


def colour_jitter(
    key: Array,
    example: Examples,
    *,
    brightness: float = 0.125,
    contrast: float = 0.5,
    saturation: float = 0.5,
    hue: float = 0.05,
    probability: float = 0.5,
) -> Examples:
    """Changes brightness, contrast, saturation and hue; boxes stay.

    Contrast comes before or after saturation and hue, as likely.

    Args:
        key: of the example.
        example: one image with its objects.
        brightness: most that is added, relative to white.
        contrast: factors are 1 − this to 1 + this.
        saturation: factors likewise.
        hue: most that is added, in turns of the colour circle.
        probability: of each of the four.
    """
    _check_probability(probability)
    amount_key, use_key, order_key = jax.random.split(key, 3)
    most = jnp.array([brightness, contrast, saturation, hue])
    drawn = jax.random.uniform(amount_key, (4,), minval=-1.0, maxval=1.0)
    is_used = jax.random.bernoulli(use_key, probability, (4,))
    brighter, harder, fuller, turn = jnp.where(is_used, drawn * most, 0.0)
    is_first = jax.random.bernoulli(order_key)
    image = example.image.astype(jnp.float32) / 255
    image = dm_pix.adjust_brightness(image, brighter)
    image = dm_pix.adjust_contrast(image, 1 + jnp.where(is_first, harder, 0))
    image = dm_pix.adjust_saturation(image.clip(0, 1), 1 + fuller)
    image = dm_pix.adjust_hue(image.clip(0, 1), turn)
    image = dm_pix.adjust_contrast(image, 1 + jnp.where(is_first, 0, harder))
    changed = _as_type(255 * image, example.image)
    # Not even rounded where nothing is used.
    return example._replace(image=jnp.where(is_used.any(), changed, example.image))


def ssd_augmentation(key: Array, example: Examples) -> Examples:
    """SSD's training pictures: colours, a larger ground, a crop of it, a mirror.

    `colour_jitter`, `expand`, `random_crop` and `horizontal_flip` with their defaults,
    the window of expanding and cropping looked through once.

    Args:
        key: of the example.
        example: one image with its objects.
    """
    colour_key, expand_key, crop_key, flip_key = jax.random.split(key, 4)
    example = colour_jitter(colour_key, example)
    ground = _expanded(expand_key, 0.5, 4.0)
    on_ground = example._replace(boxes=_in_window(example.boxes, ground))
    crop = _cropped(crop_key, on_ground, (0.0, 0.1, 0.3, 0.5, 0.7, 0.9), 0.3, 2.0, 40)
    size = ground[2:] - ground[:2]
    window = jnp.concatenate(
        [ground[:2] + crop[:2] * size, ground[:2] + crop[2:] * size]
    )
    example = _look(example, window, _FILL, keep=_is_seen(on_ground, crop))
    return horizontal_flip(flip_key, example)


def _expanded(key: Array, probability: float, most: float) -> Window:
    use_key, size_key, place_key = jax.random.split(key, 3)
    size = jax.random.uniform(size_key, minval=1.0, maxval=most)
    size = jnp.where(jax.random.bernoulli(use_key, probability), size, 1.0)
    low = -(size - 1) * jax.random.uniform(place_key, (2,))
    return jnp.concatenate([low, low + size])


def _cropped(
    key: Array,
    example: Examples,
    overlaps: Sequence[float],
    min_scale: float,
    max_aspect: float,
    num_trials: int,
) -> Window:
    size_key, place_key, choice_key = jax.random.split(key, 3)
    size = jax.random.uniform(size_key, (num_trials, 2), minval=min_scale)
    low = jax.random.uniform(place_key, (num_trials, 2)) * (1 - size)
    windows = jnp.concatenate([low, low + size], axis=-1)
    ratio = size[:, 0] / size[:, 1]
    has_shape = (ratio <= max_aspect) & (ratio >= 1 / max_aspect)
    is_candidate = _has_centre(windows[:, None], example.boxes) & example.valid
    shared = jnp.where(is_candidate, _boxes.iou(windows, example.boxes), -1.0)
    # (options, trials); the whole image is an option that always fits.
    fits = has_shape & (shared.max(-1, initial=-1.0) >= jnp.array(overlaps)[:, None])
    chosen = windows[fits.argmax(axis=1)]
    options = jnp.concatenate([chosen, jnp.array([_WHOLE])])
    is_possible = jnp.append(fits.any(axis=1), True)
    log_weight = jnp.where(is_possible, 0.0, -jnp.inf)
    return options[jax.random.categorical(choice_key, log_weight)]


def _has_centre(
    windows: Float[Array, "*shape 4"], boxes: Float[Array, "*shape 4"]
) -> Bool[Array, "*shape"]:
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    is_inside = (centre >= windows[..., :2]) & (centre <= windows[..., 2:])
    return is_inside.all(-1)


def _is_seen(example: Examples, window: Window) -> Bool[Array, " M"]:
    """Which slots stay; of a crowd any part tells anchors that it is no background."""
    is_touched = _boxes.intersection(window[None], example.boxes)[0] > 0
    return jnp.where(example.crowd, is_touched, _has_centre(window, example.boxes))


def _look(
    example: Examples, window: Window, fill: Sequence[float], *, keep: Bool[Array, " M"]
) -> Examples:
    """The example as seen through the window, without the slots that are not kept."""
    valid, crowd = example.valid & keep, example.crowd & keep
    is_used = valid | crowd
    boxes = _boxes.clip(_in_window(example.boxes, window))
    height, width = example.image.shape[:2]
    side = jnp.array([height, width], jnp.float32)
    scale = 1 / (window[2:] - window[:2])
    ground = jnp.array(fill, jnp.float32)
    image = jax.image.scale_and_translate(
        example.image.astype(jnp.float32) - ground,  # 0 is what lies outside
        example.image.shape,
        (0, 1),
        scale,
        -window[:2] * side * scale,
        "linear",
        antialias=True,
    )
    return Examples(
        image=_as_type(image + ground, example.image),
        boxes=jnp.where(is_used[:, None], boxes, 0.0),
        labels=jnp.where(is_used, example.labels, 0),
        valid=valid,
        crowd=crowd,
    )


def _in_window(boxes: Float[Array, "M 4"], window: Window) -> Float[Array, "M 4"]:
    low, size = window[:2], window[2:] - window[:2]
    return (boxes - jnp.tile(low, 2)) / jnp.tile(size, 2)


def _as_type(image: Float[Array, "S S 3"], like: Array) -> Array:
    if jnp.issubdtype(like.dtype, jnp.integer):
        image = jnp.round(image)
    return image.clip(0, 255).astype(like.dtype)


def _check_probability(value: float) -> None:
    check("probability", value, 0 <= value <= 1, "0 to 1")


def _check_crop(min_scale: float, max_aspect: float, num_trials: int) -> None:
    check("min_scale", min_scale, 0 < min_scale <= 1, "above 0, at most 1")
    check("max_aspect", max_aspect, max_aspect >= 1, "at least 1")
    check("num_trials", num_trials, num_trials >= 1, "at least 1")
