"""Errors a user can act on: one line that names the thing, the value and the remedy."""

import difflib
from collections.abc import Iterable

_MAX_LISTED = 12


class UserError(ValueError):
    """A mistake in a config, a command line or an input file.

    Programs print its message in one line, without a traceback. Raise it before any work is
    lost, and say what to do about it.
    """


class ConfigError(UserError):
    """A config key or value that cannot be used."""


def choose(key: str, name: str, valid: Iterable[str]) -> str:
    """Check a name that selects something, and return it.

    Args:
        key: the config key, or the flag, that it is the value of.
        name: what the user wrote.
        valid: the names that exist.

    Raises:
        ConfigError: it is none of them.
    """
    names = list(valid)
    if name not in names:
        raise ConfigError(f'{key}: unknown name "{name}".{nearest(name, names)}')
    return name


def nearest(name: str, valid: Iterable[str]) -> str:
    """End of an error message that helps with a misspelt name.

    Args:
        name: what the user wrote.
        valid: the names that exist.

    Returns:
        ``' Did you mean "MinCost"?'`` where one of them is close (case does not count), else
        ``' Valid names: a, b, c.'``; it starts with a space, ready to be appended.
    """
    names = sorted({str(one) for one in valid})
    by_lower = {one.lower(): one for one in names}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    if close:
        return f' Did you mean "{by_lower[close[0]]}"?'
    if not names:
        return " There are no valid names."
    more = f", ... ({len(names)} in all)" if len(names) > _MAX_LISTED else ""
    return f" Valid names: {', '.join(names[:_MAX_LISTED])}{more}."
