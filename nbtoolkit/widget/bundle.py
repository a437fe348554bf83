"""The two scripts a Board runs on: our bundle, and BokehJS as the installed bokeh brings it."""

from functools import cache
from pathlib import Path

from bokeh import __version__ as BOKEH_VERSION
from bokeh.util.paths import static_path

from nbtoolkit.errors import LandscapeError

__all__ = ["BOKEH_VERSION", "board_js", "bokeh_js"]

BUNDLE = Path(__file__).parent.parent / "static" / "board.js"


@cache
def board_js() -> str:
    """Source of the Board's ES module.

    Raises:
        LandscapeError: it was not built.
    """
    if not BUNDLE.exists():
        raise LandscapeError(
            f"The Board's script {BUNDLE.name} is missing: run `make js` in the source tree, or install a wheel."
        )
    return BUNDLE.read_text(encoding="utf-8")


@cache
def bokeh_js() -> str:
    """Source of BokehJS, core only; the same version as the Python side by its origin."""
    return (Path(static_path()) / "js" / "bokeh.min.js").read_text(encoding="utf-8")
