"""Packages that a bridge leads to: optional, each with the command that installs it."""

import importlib.util

from nbtoolkit.errors import LandscapeError


class MissingExtra(LandscapeError, ImportError):
    """A package that a bridge leads to is not installed."""


def installed(extra: str, *modules: str) -> list[str]:
    """Those of ``modules`` that can be imported; nothing is imported here.

    Args:
        extra: of the distribution, that brings the first of them.
        modules: top-level names, any of which will do.

    Raises:
        MissingExtra: none is there; it names the command.
    """
    found = [name for name in modules if importlib.util.find_spec(name) is not None]
    if not found:
        raise MissingExtra(
            f"nbtoolkit.bridges.{extra} needs {' or '.join(modules)}, which is not installed: "
            f'pip install "nbtoolkit-landscape[{extra}]"'
        )
    return found
