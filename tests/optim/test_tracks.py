"""Any optax chain carries two tracks as one value, or refuses them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc import decoders, optim
from tests.optim.table import MASK, OPTIMAL, OTHER, PARAMS, gradients, messages, tracks

close = chex.assert_trees_all_close


def first(tree):
    return jax.tree.map(lambda t: t.first, tree, is_leaf=is_tracks)


def second(tree):
    return jax.tree.map(lambda t: t.second, tree, is_leaf=is_tracks)


def is_tracks(node):
    return isinstance(node, optim.Tracks)


def apply(transform, updates, **extra):
    return transform.update(updates, transform.init(PARAMS), PARAMS, **extra)[0]


@pytest.mark.parametrize("max_norm", [0.1, 1.0, 1e6])
def test_clipping_by_norm_scales_both_tracks_by_one_factor(max_norm):
    before = tracks(0)
    after = apply(optax.clip_by_global_norm(max_norm), before)
    norms = [float(optax.tree.norm(t(before))) for t in (first, second)]
    factor = min(1.0, max_norm / np.hypot(*norms))
    for track in (first, second):
        close(
            track(after),
            jax.tree.map(lambda g: factor * g, track(before)),
            rtol=1e-5,
        )


@pytest.mark.parametrize("make", [optim.two_track_adam, optim.two_track_rmsprop])
def test_clipping_before_a_two_track_optimizer_leaves_their_ratio(make):
    """Adam's direction is free of a factor on both tracks; one track clipped is not."""
    chained = optax.chain(optax.clip_by_global_norm(1e-3), make(None, 0.1, eps=1e-30))
    close(
        apply(chained, tracks(0)),
        apply(make(None, 0.1, eps=1e-30), tracks(0)),
        rtol=1e-4,
    )


def test_a_chain_from_messages_to_the_update():
    both = decoders.two_track(OTHER, noise_ratio=2.0)
    chained = optax.chain(
        optim.decode(OTHER, both),
        optax.clip(0.7),
        optax.clip_by_global_norm(1.0),
        optim.scale_by_two_track_adam(0.5, 0.25, 1e-3),
        optax.clip_by_global_norm(0.1),
        optax.scale(-1.0),
    )
    weights = both(OTHER, MASK)
    decoded = [
        jax.tree.map(
            lambda g: jnp.clip(g, -0.7, 0.7), jgc.decode(messages(OTHER, 0), w)
        )
        for w in weights
    ]
    factor = min(1.0, 1 / float(np.hypot(*map(optax.tree.norm, decoded))))
    m, v = (jax.tree.map(lambda g: factor * g, track) for track in decoded)
    direction = jax.tree.map(lambda m, v: m / (jnp.abs(v) + 1e-3), m, v)
    scale = 0.1 / float(optax.tree.norm(direction))
    expected = jax.tree.map(lambda u: -scale * u, direction)
    close(apply(chained, messages(OTHER, 0), answered=MASK), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "transform",
    [
        optax.scale(0.3),
        optax.clip(0.5),
        optax.zero_nans(),
        optax.centralize(),
        optax.scale_by_sign(),
        optax.scale_by_schedule(lambda t: 0.1 + t),
        optax.clip_by_block_rms(0.5),
    ],
    ids=["scale", "clip", "zero_nans", "centralize", "sign", "schedule", "block_rms"],
)
def test_leaf_by_leaf_transformations_act_on_each_track(transform):
    after = apply(transform, tracks(0))
    close(first(after), apply(transform, first(tracks(0))))
    close(second(after), apply(transform, second(tracks(0))))


@pytest.mark.parametrize(
    "mask",
    [
        {"weight": True, "bias": False},
        lambda tree: {name: name == "weight" for name in tree},
    ],
    ids=["tree", "function"],
)
def test_masks_of_parameters_hold_for_both_tracks(mask):
    after = apply(optax.masked(optax.scale(2.0), mask), tracks(0))
    close(after["bias"], tracks(0)["bias"])
    close(after["weight"], optim.Tracks(*(2 * t for t in tracks(0)["weight"])))
    masked = optax.masked(optim.two_track_adam(None, 0.1), mask)
    after = apply(optax.chain(masked, optim.first_track()), tracks(0))
    close(after["bias"], tracks(0)["bias"].first)
    close(after["weight"], apply(optim.two_track_adam(None, 0.1), tracks(0))["weight"])


def test_a_prefix_of_labels_reaches_nested_parameters():
    params = {"trained": PARAMS, "frozen": {"deep": [jnp.ones(2), jnp.ones(())]}}
    both = jax.tree.map(lambda p: optim.Tracks(p + 1.0, p + 2.0), params)
    grouped = optax.multi_transform(
        {
            "adam": optim.two_track_adam(None, 0.1),
            "sgd": optax.chain(optim.first_track(), optax.sgd(1.0)),
        },
        {"trained": "adam", "frozen": "sgd"},
    )
    found, _ = optim.checked_update(grouped, both, grouped.init(params), params)
    close(found["frozen"], jax.tree.map(lambda p: -p - 1.0, params["frozen"]))
    close(found["trained"], apply(optim.two_track_adam(None, 0.1), both["trained"]))


def test_two_tracks_through_jit_scan_and_vmap():
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optim.two_track_adam(None, 0.1)
    )
    inputs = [tracks(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *inputs)

    def step(state, updates):
        updates, state = optimizer.update(updates, state, PARAMS)
        return state, updates

    _, found = jax.jit(lambda: jax.lax.scan(step, optimizer.init(PARAMS), stacked))()
    state = optimizer.init(PARAMS)
    for t, updates in enumerate(inputs):
        state, expected = step(state, updates)
        close(jax.tree.map(lambda leaf, t=t: leaf[t], found), expected, rtol=1e-5)
    batched = jax.vmap(lambda u: step(optimizer.init(PARAMS), u)[1])(stacked)
    alone = step(optimizer.init(PARAMS), inputs[2])[1]
    close(jax.tree.map(lambda leaf: leaf[2], batched), alone, rtol=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.sgd(0.1),
        optax.sgd(0.1, momentum=0.9),
        optax.adam(0.1),
        optax.adamw(0.1),
        optax.lion(0.1),
        optim.coded_sgd(OPTIMAL, 0.1),
        optax.chain(optax.add_decayed_weights(0.1), optim.two_track_adam(None, 0.1)),
        optax.masked(optim.two_track_adam(None, 0.1), {"weight": True, "bias": False}),
        optax.multi_transform(
            {"adam": optim.two_track_adam(None, 0.1), "none": optax.set_to_zero()},
            {"weight": "adam", "bias": "none"},
        ),
        optax.MultiSteps(optim.two_track_adam(None, 0.1), 2).gradient_transformation(),
        optax.apply_if_finite(optim.two_track_adam(None, 0.1), 2),
    ],
    ids=[
        "sgd",
        "momentum",
        "adam",
        "adamw",
        "lion",
        "coded_sgd",
        "decay before",
        "masked",
        "set_to_zero",
        "MultiSteps",
        "apply_if_finite",
    ],
)
def test_what_takes_one_gradient_is_refused_in_one_line(optimizer):
    state = optimizer.init(PARAMS)
    with pytest.raises(ValueError, match="does not take two tracks") as error:
        optim.checked_update(optimizer, tracks(0), state, PARAMS)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "optimizer",
    [optax.adam(0.1), optax.sgd(0.1, momentum=0.9), optax.lion(0.1)],
    ids=["adam", "momentum", "lion"],
)
def test_after_first_track_any_optimizer_goes(optimizer):
    chained = optax.chain(optim.first_track(), optimizer)
    found, _ = optim.checked_update(chained, tracks(0), chained.init(PARAMS), PARAMS)
    close(found, apply(optimizer, first(tracks(0))))
    close(apply(chained, gradients(0)), apply(optimizer, gradients(0)))


def test_updates_of_another_shape_are_refused():
    widen = optax.stateless(lambda updates, params: {"weight": updates["weight"][None]})
    with pytest.raises(ValueError, match="a tree like the parameters"):
        optim.checked_update(widen, gradients(0), widen.init(PARAMS), PARAMS)
    widen = optax.stateless(lambda u, params: jax.tree.map(lambda g: g[None], u))
    with pytest.raises(ValueError, match=r"shape \(3,\), got shape \(1, 3\)"):
        optim.checked_update(widen, gradients(0), widen.init(PARAMS), PARAMS)


@pytest.mark.parametrize("library", [np, jnp])
def test_tracks_are_never_added_to_parameters(library):
    params = jax.tree.map(library.asarray, PARAMS)
    with pytest.raises(TypeError):
        optax.apply_updates(params, tracks(0))
