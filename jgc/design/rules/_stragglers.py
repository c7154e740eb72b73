"""Who a waiting rule leaves out, as a straggler model."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from jgc.design.rules._past import Past
from jgc.design.rules._rules import Rule
from jgc.stragglers import LatencyModel, StragglerModel
from jgc.stragglers._model import State, check_latencies


def as_stragglers(latencies: LatencyModel, rule: Rule) -> StragglerModel:
    """Workers that the rule does not wait for are stragglers; `at_deadline` for rules.

    How often each straggles has no closed form: `probabilities` is None.

    Args:
        latencies: seconds under the load that the rule's plan gives each worker.
        rule: of `jgc.design.rules`, made for the plan that is run.

    Raises:
        ValueError: no latency model.

    Example:
        >>> import jax
        >>> import jgc
        >>> from jgc.design import rules
        >>> plan = jgc.codes.uncoded([0.1] * 3, num_partitions=3)
        >>> seconds = jgc.stragglers.exponential([1.0, 1.0, 1.0])
        >>> model = as_stragglers(seconds, rules.first(plan, 2))
        >>> answered, _ = model.sample(model.init(jax.random.key(0)), jax.random.key(1))
        >>> int(answered.sum())
        2
    """
    check_latencies(latencies)

    def init(key: PRNGKeyArray) -> State:
        nothing = Past.nothing(rule.holds.size) if rule.is_adaptive else ()
        return latencies.init(key), jax.tree.map(jnp.asarray, nothing)

    def sample(state: State, key: PRNGKeyArray) -> tuple[Bool[Array, " k"], State]:
        own, past = state
        seconds, own = latencies.sample(own, key)
        if not rule.is_adaptive:
            return rule(seconds)[1], (own, past)
        waited, answered = rule.after(past)(seconds)
        return answered, (own, past.then(seconds, answered, waited))

    return StragglerModel(init, sample)
