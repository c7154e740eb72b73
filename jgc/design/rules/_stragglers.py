"""Who a waiting rule leaves out, as a straggler model."""

from jaxtyping import Array, Bool, PRNGKeyArray

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

    def sample(state: State, key: PRNGKeyArray) -> tuple[Bool[Array, " k"], State]:
        seconds, state = latencies.sample(state, key)
        _, answered = rule(seconds)
        return answered, state

    return StragglerModel(latencies.init, sample)
