"""The error that ends a program in one line."""


class InputError(Exception):
    """What the user passed cannot be used; raised before any work."""
