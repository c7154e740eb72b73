"""Files that torch wrote, and files that nobody should send."""

import collections
import functools
import io
import os
import pickle
import zipfile

import ml_dtypes
import numpy as np
import pytest

from jgc.detection.torchvision import read_state_dict
from tests.detection.torchvision.compare import Reference


@pytest.fixture(params=["archive", "stream"])
def written(request, tmp_path):
    """A file of `torch.save`, in its new format and in its old one."""
    path = tmp_path / "weights.pth"
    path.write_bytes(Reference().file(request.param))
    return path


def test_torchs_files_are_read(written):
    arrays = read_state_dict(written)
    shared = np.arange(24, dtype=np.float32)
    expected = {
        "view": shared.reshape(4, 6).T[1:4],
        "half": np.array([1.5, -2.0], np.float16),
        "brain": np.array([[0.5, 3.0]], ml_dtypes.bfloat16),
        "count": np.array(7),
        "parameter": shared[5:8],
        "empty": np.zeros((0, 3), np.float32),
    }
    assert list(arrays) == list(expected)
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_safetensors_are_read(tmp_path):
    numpy = pytest.importorskip("safetensors.numpy")
    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
    numpy.save_file(arrays, tmp_path / "weights.safetensors")
    found = read_state_dict(tmp_path / "weights.safetensors")
    np.testing.assert_array_equal(found["a.weight"], arrays["a.weight"])


@pytest.mark.parametrize("share", [0.2, 0.6, 0.9, 0.99])
def test_cut_off_files_are_refused(written, share):
    content = written.read_bytes()
    written.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match="can't be read as a state dict"):
        read_state_dict(written)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", b"\x80\x02."])
def test_other_files_are_refused(tmp_path, content):
    for name in ("weights.pth", "weights.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match="can't be read as a state dict"):
            read_state_dict(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_state_dict(tmp_path / "nowhere.pth")


class Hostile:
    """Calls any function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def archive(content, *, storages=()):
    """A file as torch's, of any pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("weights/data.pkl", content)
        for key, data in storages:
            made.writestr(f"weights/data/{key}", data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (os.system, ("touch {}",)),
        (eval, ("open({!r}, 'w')",)),
        (functools.partial(open, "{}"), ("w",)),
        (getattr, (collections.OrderedDict, "fromkeys")),
    ],
)
@pytest.mark.parametrize("wrapped", [archive, bytes])
def test_nothing_is_executed(tmp_path, function, arguments, wrapped):
    target = tmp_path / "touched"
    arguments = [a.format(str(target)) if isinstance(a, str) else a for a in arguments]
    content = pickle.dumps({"a": Hostile(function, *arguments)}, protocol=2)
    path = tmp_path / "weights.pth"
    path.write_bytes(wrapped(content))
    with pytest.raises(ValueError, match="only tensors in dictionaries are read"):
        read_state_dict(path)
    assert not target.exists()


def tensor_pickle(*, length, offset, shape, strides):
    """`{"a": tensor}` in pickle's own words: protocol 0 and 2 opcodes."""

    def integers(values):
        return b"(" + b"".join(b"I%d\n" % v for v in values) + b"t"

    return (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000"
        b"X\x03\x00\x00\x00cpuI%d\ntQ"
        % length
        + b"I%d\n" % offset
        + integers(shape)
        + integers(strides)
        + b"I00\n}tRs."
    )


def test_the_hand_made_pickle_is_sound(tmp_path):
    path = tmp_path / "weights.pth"
    pickled = tensor_pickle(length=6, offset=1, shape=(2, 2), strides=(1, 2))
    path.write_bytes(
        archive(pickled, storages=[("0", np.arange(6, dtype=np.float32).tobytes())])
    )
    np.testing.assert_array_equal(read_state_dict(path)["a"], [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    "options",
    [
        {"length": 6, "offset": 3, "shape": (2, 2), "strides": (2, 1)},
        {"length": 6, "offset": -1, "shape": (2,), "strides": (1,)},
        {"length": 6, "offset": 0, "shape": (-2,), "strides": (1,)},
        {"length": 6, "offset": 5, "shape": (2,), "strides": (-4,)},
        {"length": 6, "offset": 0, "shape": (10**9, 10**9), "strides": (0, 0)},
        {"length": 6, "offset": 0, "shape": (2, 2), "strides": (1,)},
        {"length": 7, "offset": 0, "shape": (2,), "strides": (1,)},
        {"length": 10**15, "offset": 0, "shape": (2,), "strides": (1,)},
    ],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, options):
    path = tmp_path / "weights.pth"
    data = np.arange(6, dtype=np.float32).tobytes()
    path.write_bytes(archive(tensor_pickle(**options), storages=[("0", data)]))
    with pytest.raises(ValueError, match=r"beyond its storage|cut off"):
        read_state_dict(path)


def test_checkpoints_are_not_state_dicts(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(archive(pickle.dumps({"model": {}, "epoch": 3}, protocol=2)))
    with pytest.raises(ValueError, match=r"save model\.state_dict\(\) alone"):
        read_state_dict(path)
