"""From what was seen to straggler probabilities (Appendix C.5), and how sure they are.

Online, inside a jitted training loop: `counting`, `forgetting` and
`censored_shifted_exponential`, one protocol. On a record of the past: `estimate` with
any of them, `fit_beta_prior`, `fit_shifted_exponential`. How sure: `record_interval`
and `effective_rounds` of a record; `credible_interval`, `wilson_interval` of counts in
independent rounds. Whether the model is right: `check_independence`, `check_bursts`,
`check_shifted_exponential`.
"""

from jgc.stragglers.estimation._dependent_rounds import (
    effective_rounds,
    record_interval,
)
from jgc.stragglers.estimation._estimators import (
    Estimator,
    censored_shifted_exponential,
    counting,
    estimate,
    forgetting,
)
from jgc.stragglers.estimation._goodness_of_fit import (
    FitTest,
    check_bursts,
    check_independence,
    check_shifted_exponential,
)
from jgc.stragglers.estimation._intervals import credible_interval, wilson_interval
from jgc.stragglers.estimation._prior import JEFFREYS, BetaPrior, fit_beta_prior
from jgc.stragglers.estimation._shifted_exponential_fit import (
    ShiftedExponentialFit,
    fit_shifted_exponential,
)

__all__ = [
    "JEFFREYS",
    "BetaPrior",
    "Estimator",
    "FitTest",
    "ShiftedExponentialFit",
    "censored_shifted_exponential",
    "check_bursts",
    "check_independence",
    "check_shifted_exponential",
    "counting",
    "credible_interval",
    "effective_rounds",
    "estimate",
    "fit_beta_prior",
    "fit_shifted_exponential",
    "forgetting",
    "record_interval",
    "wilson_interval",
]
