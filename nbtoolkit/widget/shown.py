"""A widget that a cell both shows and ends with is there once."""

from typing import Any


class ShownOnce:
    """For widgets that `show` displays and returns: as the value of the same cell they are not displayed again."""

    _shown_in: int | None = None

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
