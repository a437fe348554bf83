"""A run read back from a file."""

from pathlib import Path

from nbtoolkit.capture.run import Run


def open_run(path: str | Path) -> Run:
    """Read a saved run; it can be sliced, shown and exported like a live one.

    Raises:
        StoreError: the path holds no run, or one that cannot be read.
    """
    from nbtoolkit.store.files import load

    record = load(path)
    return Run(str(record.attrs.get("name", Path(path).stem)), record)
