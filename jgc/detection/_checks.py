"""One wording for an option out of its range."""


def check(name: str, value: object, holds: bool, accepted: str) -> None:
    """Raise a ValueError that names option, value and accepted range, unless it holds.

    Raises:
        ValueError: `holds` is false.
    """
    if not holds:
        raise ValueError(f"{name} is {value!r}; accepted: {accepted}")
