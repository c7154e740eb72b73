"""No class of jgc is taken for another by JAX's tables of compiled programs."""

import importlib
import itertools
import pkgutil
from dataclasses import dataclass, field, fields, is_dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jgc
from jgc._pytree import pytree
from jgc.decoders import Decoder
from jgc.design.rules import Rule


@pytree
@dataclass(frozen=True)
class Scaled:
    values: jax.Array
    unit: str = field(metadata={"static": True}, default="s")


@pytree
@dataclass(frozen=True)
class Shifted:
    values: jax.Array
    unit: str = field(metadata={"static": True}, default="s")


def classes_below(parent):
    for cls in parent.__subclasses__():
        yield cls
        yield from classes_below(cls)


def classes_of_jgc(parent):
    for package in ("decoders", "design.rules", "training"):
        root = importlib.import_module(f"jgc.{package}")
        for module in pkgutil.walk_packages(root.__path__, root.__name__ + "."):
            importlib.import_module(module.name)
    found = classes_below(parent)
    return [cls for cls in found if cls.__module__.startswith("jgc")]


def hollow(cls):
    """An instance whose data are integers, for its structure alone."""
    tree = object.__new__(cls)
    for one in fields(cls):
        object.__setattr__(tree, one.name, None if one.metadata.get("static") else 0)
    return tree


@pytest.mark.parametrize("parent", [Decoder, Rule])
def test_structures_of_different_classes_differ(parent):
    found = [cls for cls in classes_of_jgc(parent) if is_dataclass(cls)]
    assert len(found) >= 5
    structures = {cls: jax.tree.structure(hollow(cls)) for cls in found}
    for one, other in itertools.combinations(found, 2):
        assert structures[one] != structures[other], (one, other)


def test_a_structure_is_of_its_class_and_what_is_static():
    a = jax.tree.structure(Scaled(jnp.ones(2)))
    assert a == jax.tree.structure(Scaled(jnp.zeros(3)))
    assert hash(a) == hash(jax.tree.structure(Scaled(jnp.zeros(3))))
    assert a != jax.tree.structure(Shifted(jnp.ones(2)))
    assert a != jax.tree.structure(Scaled(jnp.ones(2), unit="ms"))


def test_it_goes_where_trees_go():
    tree = Scaled(jnp.arange(3.0), unit="ms")
    doubled = jax.jit(lambda t: jax.tree.map(lambda x: 2 * x, t))(tree)
    assert isinstance(doubled, Scaled)
    assert doubled.unit == "ms"
    np.testing.assert_array_equal(doubled.values, [0, 2, 4])
    gradient = jax.grad(lambda t: (t.values**2).sum())(tree)
    np.testing.assert_array_equal(gradient.values, [0, 2, 4])
    ((path, _),) = jax.tree_util.tree_leaves_with_path(tree)
    assert jax.tree_util.keystr(path) == ".values"


def test_every_pair_of_decoders_keeps_its_own_program():
    """What went wrong: one program for two decoders, in some processes."""
    plan = jgc.codes.uncoded([0.1, 0.2, 0.4], num_partitions=3, unbiased=True)
    answered = np.array([True, False, True])
    run = jax.jit(lambda decoder, plan, answered: decoder(plan, answered))
    for decoder in (jgc.decoders.fixed, jgc.decoders.rescaled, jgc.decoders.normalised):
        np.testing.assert_allclose(
            run(decoder, plan, answered), decoder(plan, answered), rtol=1e-6
        )
