"""Fails early, with the extra to install, where a dependency is missing."""

from jgc._extras import require

# Everything in jgc.detection is a flax network or works on its input and outputs.
for _module in ("dm_pix", "flax"):
    require(_module, extra="detection")
