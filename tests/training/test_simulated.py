import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jgc
from jgc.training import coded_gradient, init_state, make_step
from tests.training import problems

P = np.array([0.3, 0.8, 0.1, 0.6, 0.5])
N = 6
PARTITION = jnp.arange(problems.NUM_EXAMPLES) % N
PLANS = {
    "uncoded": jgc.codes.uncoded(P, num_partitions=N),
    "scheme_i": jgc.codes.scheme_i(P, num_partitions=N),
    "scheme_ii": jgc.codes.scheme_ii(P, num_partitions=N),
    "interval": jgc.codes.interval(P, num_partitions=N),
    "interval_layers": jgc.codes.interval(P, num_partitions=N, layers=3),
}


def partition_gradients():
    """g_j = ∇L(D_j), each by plain autodiff of its own examples; leading axis n."""
    examples = problems.examples()

    def partition_loss(params, j):
        losses = problems.loss(params, examples)
        return jnp.sum(losses * (j == PARTITION)) / problems.NUM_EXAMPLES

    gradients = [jax.grad(partition_loss)(problems.params(), j) for j in range(N)]
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *gradients)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("chunk_size", [None, 5, 23, 100])
def test_one_pass_equals_what_workers_send(plan, chunk_size):
    messages = plan.encode(partition_gradients())
    for seed in range(5):
        mask = jax.random.bernoulli(jax.random.key(seed), 1 - P)
        decoded = plan.decode(messages, mask)
        weights = (
            jgc.decoders.fixed.coefficients(plan, mask)[PARTITION]
            / problems.NUM_EXAMPLES
        )
        gradient, losses = coded_gradient(
            problems.loss,
            problems.params(),
            problems.examples(),
            weights,
            chunk_size=chunk_size,
        )
        chex.assert_trees_all_close(gradient, decoded, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            losses, problems.loss(problems.params(), problems.examples()), rtol=1e-6
        )


def test_straggler_free_step_is_gradient_descent():
    plan = jgc.codes.straggler_free(5, num_partitions=N)
    optimizer = optax.adam(0.1)
    step = make_step(problems.loss, optimizer)
    state = init_state(problems.params(), optimizer)
    for _ in range(3):
        state, _ = step(
            state,
            problems.examples(),
            PARTITION,
            jgc.decoders.fixed.coefficients(plan, jnp.ones(5, bool)),
        )

    params, opt_state = problems.params(), optimizer.init(problems.params())
    for _ in range(3):
        gradient = jax.grad(
            lambda params: problems.loss(params, problems.examples()).mean()
        )(params)
        updates, opt_state = optimizer.update(gradient, opt_state)
        params = optax.apply_updates(params, updates)
    chex.assert_trees_all_close(state.params, params, rtol=1e-5)
    assert state.iteration == 3


def test_one_compiled_step_serves_every_plan():
    traces = []

    def counted_loss(params, examples):
        traces.append(None)
        return problems.loss(params, examples)

    optimizer = optax.sgd(0.1)
    step = make_step(counted_loss, optimizer)
    state = init_state(problems.params(), optimizer)
    for plan in PLANS.values():
        coefficients = jgc.decoders.fixed.coefficients(plan, jnp.ones(5, bool))
        state, _ = step(state, problems.examples(), PARTITION, coefficients)
    assert len(traces) == 1


def test_decoded_steps_are_unbiased():
    """Averaged over all masks, a coded step is the gradient-descent step."""
    plan = PLANS["interval"]
    masks = (np.arange(2**5)[:, None] >> np.arange(5)) & 1
    probability = np.prod(np.where(masks, 1 - P, P), axis=1)
    coefficients = jax.vmap(plan.coefficients)(masks.astype(bool))
    np.testing.assert_allclose(probability @ coefficients, 1, rtol=1e-5)


def test_a_loss_that_is_a_mean_is_refused():
    step = make_step(
        lambda params, examples: problems.loss(params, examples).mean(), optax.sgd(0.1)
    )
    state = init_state(problems.params(), optax.sgd(0.1))
    partition = jnp.zeros(problems.NUM_EXAMPLES, int)
    with pytest.raises(ValueError, match="loss must return one loss an example"):
        step(state, problems.examples(), partition, jnp.ones(1))
