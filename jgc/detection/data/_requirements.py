"""Fails early, with the extra to install, where a dependency is missing."""

from jgc._extras import require

for _module in (
    "PIL",
    "array_record",
    "grain",
    "msgspec",
    "rich",
    "tensorflow_datasets",
):
    require(_module, extra="detection")
