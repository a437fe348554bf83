"""A widget that a cell both shows and ends with is there once."""

import sys
from typing import Any

from nbtoolkit.widget import in_marimo


def in_jupyter() -> bool:
    """Whether what is displayed goes to a notebook of Jupyter."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


class ShownOnce:
    """For widgets that `show` displays and returns: as the value of the same cell they are not displayed again."""

    _shown_in: int | None = None

    @property
    def gone(self) -> bool:
        """Whether it was closed."""
        return self.comm is None or getattr(self.comm, "_closed", False)  # type: ignore[attr-defined]

    def put(self) -> None:
        """Display it, where there is a notebook for it."""
        if in_jupyter():
            self.display()
        elif module := in_marimo.marimo():
            module.output.append(self)

    def display(self) -> None:
        """Display it where the code runs."""
        from IPython import get_ipython
        from IPython.display import display

        self._shown_in = get_ipython().execution_count
        data, metadata = self._repr_mimebundle_()  # type: ignore[attr-defined]
        display(data, metadata=metadata, raw=True)

    def _ipython_display_(self, **_: Any) -> None:
        from IPython import get_ipython

        if self._shown_in != get_ipython().execution_count:
            self.display()
