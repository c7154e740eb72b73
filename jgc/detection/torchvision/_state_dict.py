"""A state dict's arrays from the user's own file, without torch.

A `.pth` file is a pickle, which can run any code. Here one may name nothing but ordered
dictionaries and torch's own tensors and storages, which become plain records; whatever
else it names is an error.
"""

import os
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import ml_dtypes
import numpy as np

from jgc._extras import require

_DTYPES: dict[str, Any] = {
    "BFloat16Storage": ml_dtypes.bfloat16,
    "BoolStorage": np.bool_,
    "ByteStorage": np.uint8,
    "CharStorage": np.int8,
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "IntStorage": np.int32,
    "LongStorage": np.int64,
    "ShortStorage": np.int16,
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class _StorageType(NamedTuple):
    """What a pickle's name of a storage class becomes; not to be called."""

    dtype: Any


class _Storage(NamedTuple):
    key: str
    dtype: Any
    length: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(
    storage: _Storage, offset: int, shape: Any, strides: Any, *rest: Any
) -> _Tensor:
    del rest  # gradients and hooks
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: _Tensor, *rest: Any) -> _Tensor:
    del rest
    return tensor


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): _StorageType(dtype) for name, dtype in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Knows the names above alone, and keeps the storages that it is asked for."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module}.{name}; only tensors in dictionaries are read: "
                "save model.state_dict() alone"
            ) from None

    def persistent_load(self, pid: Any) -> _Storage:
        kind, storage_type, key, _, length, *view = pid
        if kind != "storage" or not isinstance(storage_type, _StorageType) or any(view):
            raise pickle.UnpicklingError(f"it refers to {pid!r}, not to a storage")
        storage = _Storage(str(key), np.dtype(storage_type.dtype), int(length))
        return self.storages.setdefault(storage.key, storage)


def read_state_dict(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a state dict by name, from `torch.save` or safetensors.

    Both of torch's formats are read: zip archives, and the older streams in which many
    published weights are. Nothing in the file is executed.

    Args:
        path: of the file; safetensors where it ends in ".safetensors".

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: safetensors is not installed.
        ValueError: the file is something else than tensors by name, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path={os.fspath(path)!r} is not a file")
    try:
        if path.suffix == ".safetensors":
            reader = require("safetensors.numpy", extra="detection")
            return dict(reader.load_file(path))
        with path.open("rb") as file:
            if zipfile.is_zipfile(file):
                content, storages = _read_archive(file)
            else:
                file.seek(0)
                content, storages = _read_stream(file)
        return _arrays(content, storages)
    except ImportError:
        raise
    except Exception as error:  # a hostile file may raise anything on the way
        raise ValueError(
            f"path={os.fspath(path)!r} can't be read as a state dict: {error}"
        ) from error


Storages = Callable[[_Storage], np.ndarray]


def _read_archive(file: IO[bytes]) -> tuple[Any, Storages]:
    """torch's format since 1.6: a zip archive of a pickle and a file a storage."""
    archive = zipfile.ZipFile(file)
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise ValueError(f"it holds {len(names)} pickles, not one")
    root = names[0].removesuffix("data.pkl")
    order = "<"
    if f"{root}byteorder" in archive.namelist():
        order = {b"little": "<", b"big": ">"}[archive.read(f"{root}byteorder")]
    with archive.open(names[0]) as pickled:
        unpickler = _Unpickler(pickled)
        content = unpickler.load()
    loaded = {}
    for storage in unpickler.storages.values():
        entry = archive.getinfo(f"{root}data/{storage.key}")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"storage {storage.key} is compressed")
        loaded[storage.key] = _from_bytes(archive.read(entry), storage, order)
    return content, lambda storage: loaded[storage.key]


def _read_stream(file: IO[bytes]) -> tuple[Any, Storages]:
    """torch's format before: pickles one after the other, then the storages' bytes."""
    magic = _Unpickler(file).load()
    if magic != _LEGACY_MAGIC:
        raise ValueError("it doesn't begin as torch's files do")
    _Unpickler(file).load()  # version of the format
    machine = _Unpickler(file).load()
    order = "<" if machine["little_endian"] else ">"
    unpickler = _Unpickler(file)
    content = unpickler.load()
    loaded = {}
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        length = int(np.frombuffer(file.read(8), f"{order}i8")[0])
        if length != storage.length:
            raise ValueError(f"storage {key} has {length} of {storage.length} numbers")
        size = length * storage.dtype.itemsize
        loaded[key] = _from_bytes(file.read(size), storage, order)
    return content, lambda storage: loaded[storage.key]


def _from_bytes(content: bytes, storage: _Storage, order: str) -> np.ndarray:
    if len(content) != storage.length * storage.dtype.itemsize:
        raise ValueError(f"storage {storage.key} is cut off")
    array = np.frombuffer(content, storage.dtype)
    # NumPy has no byte order for bfloat16: swapped by hand, as on other machines.
    native = {"little": "<", "big": ">"}[sys.byteorder]
    return array if order == native else array.byteswap()


def _arrays(content: Any, storages: Storages) -> dict[str, np.ndarray]:
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds a {type(content).__name__}, not a dictionary")
    arrays = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise ValueError(
                f"it maps {name!r} to a {type(tensor).__name__}, not a name to a "
                "tensor: save model.state_dict() alone"
            )
        arrays[name] = _view(storages(tensor.storage), tensor, name)
    return arrays


def _view(storage: np.ndarray, tensor: _Tensor, name: str) -> np.ndarray:
    """The tensor's part of its storage, copied; nothing outside of it is touched."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    numbers = (*shape, *strides, offset)
    sound = len(shape) == len(strides) and all(
        isinstance(n, int) and n >= 0 for n in numbers
    )
    if sound:
        last = offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
        count = int(np.prod(shape, dtype=object))
        sound = count == 0 or (last < len(storage) and count <= len(storage))
    if not sound:
        raise ValueError(f"{name!r} reaches beyond its storage")
    steps = [s * storage.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps).copy()
