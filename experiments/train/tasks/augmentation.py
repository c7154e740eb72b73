"""Training images that are drawn anew in each iteration, with their boxes."""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from jgc.detection import Examples, horizontal_flip, random_crop, ssd_augmentation
from jgc.training import partition_loss
from jgc.training._loss import LossLike, Params


def _crop_and_flip(key: Array, example: Examples) -> Examples:
    crop_key, flip_key = jax.random.split(key)
    return horizontal_flip(flip_key, random_crop(crop_key, example))


_AUGMENTATIONS: dict[str, Callable[[Array, Examples], Examples]] = {
    "flip": horizontal_flip,
    "crop": _crop_and_flip,
    "ssd": ssd_augmentation,
}


def augmented(
    loss: Callable[[Params, Examples], Float[Array, " N"]], name: str
) -> LossLike:
    """The loss of images that are changed first; itself, where the name is empty.

    By the iteration and the partition, so that every worker that holds a partition sees
    the same images.
    """
    if not name:
        return loss
    augment = jax.vmap(_AUGMENTATIONS[name])

    def of_partition(
        params: Params, examples: Examples, *, key: Array
    ) -> Float[Array, " b"]:
        keys = jax.random.split(key, examples.valid.shape[0])
        return loss(params, augment(keys, examples))

    return partition_loss(of_partition, key=True)
