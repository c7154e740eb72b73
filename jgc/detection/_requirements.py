"""Fails early, with the extra to install, where a dependency is missing."""

from jgc._extras import require

# Everything in jgc.detection is a flax network or works on one's outputs.
require("flax", extra="detection")
