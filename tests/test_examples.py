"""The examples of docstrings give what they show, and every public function has one."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import jgc

PACKAGE = Path(jgc.__file__).parent
MODULES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in sorted(PACKAGE.rglob("*.py"))
    if ">>> " in path.read_text()
]


def _is_public(path):
    inside = path.relative_to(PACKAGE).with_suffix("").parts
    return not any(part.startswith("_") and part != "__init__" for part in inside)


PUBLIC = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )
    for path in sorted(PACKAGE.rglob("*.py"))
    if _is_public(path)
]

# Functions without an example, each with the reason.
_OF_IMAGES = "takes images, boxes or a network: tests/detection show its use"
_OF_FILES = "reads data sets or weights that an example cannot bring along"
EXEMPT = {
    "jgc.detection": (
        {
            "coco_results",
            "colour_jitter",
            "count_parameters",
            "draw_detections",
            "draw_grid",
            "evaluate",
            "expand",
            "horizontal_flip",
            "linear_scales",
            "pyramid_shapes",
            "random_crop",
            "ssd_augmentation",
            "ssd_shapes",
        },
        _OF_IMAGES,
    ),
    "jgc.detection.data": (
        {
            "assign_partitions",
            "generate_shapes",
            "image_examples",
            "load_split",
            "open_source",
        },
        _OF_FILES,
    ),
    "jgc.detection.torchvision": (
        {
            "load",
            "read_state_dict",
            "retinanet_anchors",
            "retinanet_weights",
            "ssdlite320_weights",
        },
        _OF_FILES,
    ),
}


def _imported(name):
    """The module; the test is skipped where a package that jgc can do without is."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("jgc"):
            raise
        pytest.skip(f"{name} needs {error.name}")


def _without_example(module):
    """Public functions: of `__all__`, or defined there where it has none."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(module).items()
            if not name.startswith("_")
            and getattr(value, "__module__", None) == module.__name__
        ]
    functions = {name: getattr(module, name) for name in names}
    return {
        name
        for name, value in functions.items()
        # A jitted function is none by `isfunction`, but wraps one.
        if inspect.isfunction(inspect.unwrap(value))
        and ">>> " not in (inspect.getdoc(value) or "")
    }


def test_modules_with_examples_are_found():
    assert {"jgc._plan", "jgc.gradients", "jgc.residual._exact"} <= set(MODULES)
    assert {"jgc", "jgc.codes", "jgc.stragglers.pictures"} <= set(PUBLIC)
    assert set(EXEMPT) <= set(PUBLIC)
    assert not any("._" in name for name in PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_function_has_an_example(name):
    exempt, _ = EXEMPT.get(name, (set(), ""))
    missing = _without_example(_imported(name))
    assert missing - exempt == set()
    assert exempt - missing == set(), "these have an example: exempt no longer"


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(_imported(name), optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed
