"""Files that are written for the user, or one line that says why not."""

from pathlib import Path

from nbtoolkit.errors import StoreError


def write(path: Path, data: bytes, what: str) -> None:
    """Write a file, in place of one that is there.

    Raises:
        StoreError: ``what`` cannot be written there.
    """
    try:
        path.write_bytes(data)
    except (OSError, ValueError) as error:  # the latter of what no path can have
        reason = getattr(error, "strerror", None) or error
        shown = str(path) if str(path).isprintable() else ascii(str(path))
        raise StoreError(f"{what} cannot be written to {shown}: {reason}; choose another path.") from error
