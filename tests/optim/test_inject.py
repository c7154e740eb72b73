"""`optax.inject_hyperparams` goes around everything in `jgc.optim`."""

import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jgc import decoders, optim
from tests.optim.table import (
    MASK,
    OPTIMAL,
    OTHER,
    PARAMS,
    N,
    gradients,
    messages,
    tracks,
)


def rms(first_decay, second_decay, second_moment_scale):
    return optim.two_track(
        optax.ema(first_decay), optax.scale_by_rms(second_decay), second_moment_scale
    )


ADAM = {"learning_rate": 0.1, "noise_ratio": 2.0, "b1": 0.8, "b2": 0.9, "eps": 1e-3}
RMS = {"learning_rate": 0.1, "noise_ratio": 2.0, "decay": 0.8, "eps": 1e-3}
# What is injected, its arguments that stay, those that are traced, and what it takes.
CASES = {
    "coded_sgd": (optim.coded_sgd, {}, {"learning_rate": 0.1, "momentum": 0.9}, "any"),
    "adam": (optim.two_track_adam, {}, ADAM, "any"),
    "adamw": (optim.two_track_adamw, {}, {**ADAM, "weight_decay": 0.1}, "any"),
    "rmsprop": (optim.two_track_rmsprop, {}, {**RMS, "momentum": 0.9}, "any"),
    "scale_by_two_track_adam": (
        optim.scale_by_two_track_adam,
        {},
        {"b1": 0.8, "b2": 0.9, "eps": 1e-3, "second_moment_scale": 0.7},
        "gradient",
    ),
    "two_track": (
        rms,
        {},
        {"first_decay": 0.8, "second_decay": 0.9, "second_moment_scale": 0.7},
        "gradient",
    ),
    "clip_partitions": (optim.clip_partitions, {}, {"max_norm": 0.5}, "partitions"),
    "encode": (optim.encode, {"plan": OTHER}, {}, "partitions"),
    "decode": (optim.decode, {}, {}, "any"),
    "first_track": (optim.first_track, {}, {}, "gradient"),
}
NO_TRANSFORMATIONS = {
    "Tracks",
    "TwoTrackState",
    "checked_update",
    "second_moment_ratio",
}


def test_every_transformation_is_here():
    made = {factory.__name__ for factory, *_ in CASES.values()} - {"rms"} | {
        "two_track"
    }
    assert made == set(optim.__all__) - NO_TRANSFORMATIONS


def steps(optimizer, inputs, hyperparams=None, **extra):
    state, found = optimizer.init(PARAMS), []
    update = jax.jit(optimizer.update)
    for updates in inputs:
        if hyperparams is not None:
            state = state._replace(
                hyperparams={k: jnp.float32(v) for k, v in hyperparams.items()}
            )
        updates, state = update(updates, state, PARAMS, **extra)
        found.append(updates)
    return found


@pytest.mark.parametrize("plan", [OPTIMAL, OTHER], ids=["optimal", "SGC"])
@pytest.mark.parametrize("case", CASES)
def test_injected_is_as_constructed(case, plan):
    factory, fixed, traced, takes = CASES[case]
    extra = {}
    if takes == "any":
        fixed, extra = {"plan": plan}, {"answered": MASK}
        inputs = [messages(plan, seed) for seed in range(3)]
    elif takes == "partitions":
        inputs = [gradients(seed, (N,)) for seed in range(3)]
    else:
        inputs = [gradients(seed) for seed in range(3)]
    expected = steps(factory(**fixed, **traced), inputs, **extra)
    injected = optax.inject_hyperparams(factory)
    found = steps(injected(**fixed, **traced), inputs, **extra)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)
    # What is constructed with other values and set to these is the same.
    other = injected(**fixed, **{name: 0.5 * value for name, value in traced.items()})
    assert traced.keys() <= other.init(PARAMS).hyperparams.keys()
    state = other.init(PARAMS).hyperparams
    found = steps(other, inputs, {**state, **traced}, **extra)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)
    if traced:  # and they are read
        changed = steps(other, inputs, **extra)
        assert not np.allclose(changed[-1]["weight"], expected[-1]["weight"], rtol=1e-3)


@pytest.mark.parametrize("case", ["adam", "adamw", "rmsprop"])
def test_schedules_and_tracks(case):
    factory, _, traced, _ = CASES[case]
    rates = jnp.array([0.3, 0.2, 0.1])
    traced = {**traced, "learning_rate": lambda t: rates[t]}
    inputs = [tracks(seed) for seed in range(3)]
    found = steps(optax.inject_hyperparams(factory)(None, **traced), inputs)
    chex.assert_trees_all_close(
        found, steps(factory(None, **traced), inputs), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("case", ["coded_sgd", "adam", "adamw", "rmsprop", "decode"])
def test_a_decoder_is_a_static_argument(case):
    factory, _, traced, _ = CASES[case]
    inject = optax.inject_hyperparams(factory, static_args="decoder")
    kwargs = {**traced, "decoder": decoders.least_squares}
    inputs = [messages(OTHER, 0)]
    chex.assert_trees_all_close(
        steps(inject(OTHER, **kwargs), inputs, answered=MASK),
        steps(factory(OTHER, **kwargs), inputs, answered=MASK),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("case", CASES)
def test_no_default_is_taken_for_a_schedule(case):
    defaults = inspect.signature(CASES[case][0]).parameters.values()
    assert not any(
        callable(p.default)
        for p in defaults
        if p.default is not inspect.Parameter.empty
    )
