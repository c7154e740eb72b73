"""Codecs of the workers' messages, by their names in a config."""

from collections.abc import Callable
from typing import Any

from jgc import codecs
from jgc.codecs import Codec

FULL = "float32"
CODECS: dict[str, Callable[[Any], Codec]] = {
    FULL: lambda config: codecs.full(),
    "bfloat16": lambda config: codecs.bfloat16(),
    "int8": lambda config: codecs.int8(),
    "one_bit": lambda config: codecs.one_bit(),
    "sign": lambda config: codecs.sign(),
    "random_subspace": lambda config: codecs.random_subspace(config.subspace_factor),
}


def make_codec(name: str, config: Any) -> Codec | None:
    """None where messages stay as they are: a path then need not make any."""
    return None if name == FULL else CODECS[name](config)


def megabytes(name: str, config: Any, size: int) -> float:
    """Of an iteration's messages of `size` entries, of all workers."""
    return config.num_workers * CODECS[name](config).bits(size) / 8e6
