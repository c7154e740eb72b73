import pickle

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.common.checkpoints import Checkpoints
from jgc import decoders, optim
from tests.optim.table import (
    MASK,
    OPTIMAL,
    OTHER,
    PARAMS,
    every_alias,
    gradients,
    messages,
    tracks,
    two_track_aliases,
)

both_plans = pytest.mark.parametrize("plan", [OPTIMAL, OTHER], ids=["optimal", "SGC"])
close = chex.assert_trees_all_close


def run(optimizer, updates, compiled=False, **extra):
    """The parameters after one step for each of `updates`, and the state."""
    params, state = PARAMS, optimizer.init(PARAMS)
    step = jax.jit(optimizer.update) if compiled else optimizer.update
    for update in updates:
        update, state = step(update, state, params, **extra)
        params = optax.apply_updates(params, update)
    return params, state


@every_alias
@both_plans
def test_jit_and_scan_do_what_python_does(alias, plan):
    optimizer = alias.make(plan, 0.1)
    inputs = [messages(plan, seed) for seed in range(4)]
    expected, expected_state = run(optimizer, inputs, answered=MASK)

    def step(carry, update):
        params, state = carry
        update, state = optimizer.update(update, state, params, answered=MASK)
        return (optax.apply_updates(params, update), state), None

    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *inputs)
    (params, state), _ = jax.jit(
        lambda: jax.lax.scan(step, (PARAMS, optimizer.init(PARAMS)), stacked)
    )()
    close(params, expected, rtol=1e-5, atol=1e-6)
    close(state, expected_state, rtol=1e-5, atol=1e-6)


@every_alias
@both_plans
def test_vmap_over_seeds_is_one_by_one(alias, plan):
    optimizer = alias.make(plan, 0.1)
    masks = jax.random.bernoulli(jax.random.key(0), 0.6, (3, MASK.size))
    inputs = [messages(plan, 0), messages(plan, 1)]
    together = jax.vmap(lambda mask: run(optimizer, inputs, answered=mask)[0])(masks)
    for i, mask in enumerate(masks):
        alone, _ = run(optimizer, inputs, answered=mask)
        close(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone, rtol=1e-4)


@every_alias
def test_messages_and_decoded_gradients_agree(alias):
    optimizer = alias.make(OPTIMAL, 0.1)
    inputs = [messages(OPTIMAL, seed) for seed in range(3)]
    decoded = [OPTIMAL.decode(update, MASK) for update in inputs]
    close(run(optimizer, inputs, answered=MASK), run(optimizer, decoded), rtol=1e-5)


@every_alias
@both_plans
def test_what_a_straggler_left_behind_is_not_read(alias, plan):
    optimizer = alias.make(plan, 0.1)

    def spoil(leaf):
        return leaf.at[jnp.flatnonzero(~MASK)].set(jnp.nan)

    inputs = messages(plan, 0)
    expected = run(optimizer, [inputs], answered=MASK)
    close(run(optimizer, [jax.tree.map(spoil, inputs)], answered=MASK), expected)


@every_alias
def test_state_survives_pickle_and_checkpoint(alias, tmp_path):
    optimizer = alias.make(OPTIMAL, optax.linear_schedule(0.1, 0.0, 10))
    _, state = run(optimizer, [messages(OPTIMAL, 0)], answered=MASK)
    chex.assert_trees_all_equal(pickle.loads(pickle.dumps(state)), state)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        restored = checkpoints.restore_newest(like=optimizer.init(PARAMS))
    chex.assert_trees_all_equal(restored, state)


@every_alias
def test_follows_a_schedule(alias):
    rates = [0.3, 0.2, 0.1]
    inputs = [gradients(seed) for seed in range(3)]
    reference = alias.reference(lambda t: jnp.asarray(rates)[t])
    kwargs = {"noise_ratio": np.inf} if alias.two_track else {}
    optimizer = alias.make(OPTIMAL, lambda t: jnp.asarray(rates)[t], **kwargs)
    close(run(optimizer, inputs)[0], run(reference, inputs)[0], rtol=1e-5)


@every_alias
@both_plans
def test_multi_transform_gives_each_group_its_own(alias, plan):
    rates = {"weight": 0.1, "bias": 0.01}
    grouped = optax.multi_transform(
        {name: alias.make(plan, rate) for name, rate in rates.items()},
        {name: name for name in rates},
    )
    inputs = [messages(plan, seed) for seed in range(3)]
    params, _ = run(grouped, inputs, answered=MASK)
    for name, rate in rates.items():
        alone, _ = run(alias.make(plan, rate), inputs, answered=MASK)
        close(params[name], alone[name], rtol=1e-5)


@two_track_aliases
def test_multi_transform_labels_tracks_as_one(alias):
    grouped = optax.multi_transform(
        {
            "all": alias.make(None, 0.1),
            "none": optax.chain(optim.first_track(), optax.set_to_zero()),
        },
        {"weight": "all", "bias": "none"},
    )
    inputs = [tracks(seed) for seed in range(3)]
    params, _ = run(grouped, inputs)
    alone, _ = run(alias.make(None, 0.1), inputs)
    close(params["weight"], alone["weight"])
    close(params["bias"], PARAMS["bias"])


@every_alias
def test_apply_if_finite_skips_a_step(alias):
    guarded = optax.apply_if_finite(alias.make(OPTIMAL, 0.1), 3)
    broken = gradients(1)
    broken["bias"] = broken["bias"].at[0].set(jnp.inf)
    params, state = run(guarded, [gradients(0), broken, gradients(2)], compiled=True)
    expected, _ = run(alias.make(OPTIMAL, 0.1), [gradients(0), gradients(2)])
    assert state.total_notfinite == 1
    close(params, expected, rtol=1e-6)


def test_wrappers_go_between_decode_and_the_optimizer():
    inputs = [messages(OPTIMAL, seed) for seed in range(4)]
    expected, _ = run(optim.coded_sgd(OPTIMAL, 0.1), inputs, answered=MASK)
    for wrapped in (
        optax.apply_if_finite(optax.sgd(0.1), 3),
        optax.MultiSteps(optax.sgd(0.2), 2).gradient_transformation(),
    ):
        chained = optax.chain(optim.decode(OPTIMAL), wrapped)
        close(
            run(chained, inputs, compiled=True, answered=MASK)[0],
            expected,
            rtol=1e-5,
            atol=1e-6,
        )


@every_alias
def test_multi_steps_is_one_step_with_the_mean(alias):
    accumulating = optax.MultiSteps(alias.make(OPTIMAL, 0.1), 3)
    inputs = [gradients(seed) for seed in range(6)]
    means = [
        jax.tree.map(lambda *g: sum(g) / 3, *inputs[:3]),
        jax.tree.map(lambda *g: sum(g) / 3, *inputs[3:]),
    ]
    transformation = accumulating.gradient_transformation()
    params, _ = run(transformation, inputs, compiled=True)
    close(params, run(alias.make(OPTIMAL, 0.1), means)[0], rtol=1e-4, atol=1e-6)


@every_alias
@both_plans
@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: optax.MultiSteps(inner, 2).gradient_transformation(),
        lambda inner: optax.apply_if_finite(inner, 3),
    ],
    ids=["MultiSteps", "apply_if_finite"],
)
def test_wrappers_around_messages_are_refused(alias, plan, wrap):
    """They would average messages of different masks, or return their shapes."""
    with pytest.raises((TypeError, ValueError)):
        run(wrap(alias.make(plan, 0.1)), [messages(plan, 0)], answered=MASK)


@two_track_aliases
@pytest.mark.parametrize("plan", [None, OTHER], ids=["no plan", "SGC"])
def test_a_lone_gradient_is_refused_where_the_second_track_is_another(alias, plan):
    with pytest.raises(ValueError, match="needs two tracks"):
        run(alias.make(plan, 0.1), [gradients(0)])


@two_track_aliases
def test_tracks_that_come_decoded_are_taken_as_they_are(alias):
    for plan in (None, OPTIMAL, OTHER):
        params, _ = run(alias.make(plan, 0.1), [tracks(0)])
        expected, _ = run(alias.make(None, 0.1), [tracks(0)])
        close(params, expected)


@every_alias
@both_plans
def test_a_decoder_that_looks_at_the_mask(alias, plan):
    optimizer = alias.make(plan, 0.1, decoder=decoders.least_squares)
    weights = decoders.least_squares(plan, MASK)
    if alias.two_track:
        v = decoders.second_moment_weights(plan, noise_ratio=1.0)
        weights = jnp.stack([weights, jnp.where(MASK, v, 0)])
    inputs = [messages(plan, seed) for seed in range(3)]
    found, _ = run(optimizer, inputs, compiled=True, answered=MASK)
    expected, _ = run(alias.make(None, 0.1), inputs, compiled=True, weights=weights)
    close(found, expected, rtol=1e-4, atol=1e-6)


@two_track_aliases
def test_what_no_two_track_optimizer_can_take(alias):
    for noise_ratio in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="noise_ratio must be above 0"):
            alias.make(OPTIMAL, 0.1, noise_ratio=noise_ratio)
    with pytest.raises(ValueError, match="decoder must have one track"):
        alias.make(OTHER, 0.1, decoder=decoders.two_track(OTHER))


def test_sgd_refuses_two_tracks():
    with pytest.raises(ValueError, match="decoder must have one track"):
        optim.coded_sgd(OTHER, 0.1, decoder=decoders.two_track(OTHER))
