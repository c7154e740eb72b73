"""Fails early, with the extra to install, where a dependency is missing."""

from jgc._extras import require

for _module in ("PIL", "grain", "msgspec", "rich"):
    require(_module, extra="detection")
