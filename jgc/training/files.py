"""Writing files so that a reader never meets half of one."""

from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes `content` to `path`: all of it or, if cut off, none of it."""
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    temporary.replace(path)
