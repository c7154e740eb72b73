"""Straggler models: which workers answer in time."""

from jgc.stragglers.bernoulli import bernoulli, deadline_probabilities
from jgc.stragglers.model import StragglerModel

__all__ = ["StragglerModel", "bernoulli", "deadline_probabilities"]
