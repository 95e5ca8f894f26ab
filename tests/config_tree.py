"""Configs as flat dictionaries."""


def flatten(tree, prefix=""):
    """Each value of a tree of dictionaries, with the keys on the way to it: ``("A.B", value)``."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
