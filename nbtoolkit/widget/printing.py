"""Matplotlib figures apart from the user's: no pyplot, no settings changed, words drawn as they are."""

import io
import warnings
from typing import Any

LETTERS = 60  # of any words in a picture
MATH = r"$\mathdefault"  # how matplotlib writes the powers on its own axes


def blank(size: tuple[float, float], dpi: float) -> Any:
    """An empty white figure, ``size`` in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=dpi, layout="constrained", facecolor="white")


def as_bytes(figure: Any, suffix: str, dpi: float) -> bytes:
    """The figure as a PNG or an SVG."""
    _literal(figure)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        if suffix == "svg":
            from matplotlib.backends.backend_svg import FigureCanvasSVG

            FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})
        else:
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            figure.set_dpi(dpi)
            FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()


def words(text: str) -> str:
    """Words as matplotlib is to draw them: no formulas, nothing that cannot be seen, no more than have room."""
    seen = "".join(letter if letter.isprintable() else " " for letter in text)
    kept = seen if len(seen) <= LETTERS else f"{seen[: LETTERS - 1]}…"
    return kept.replace("$", r"\$")


def _literal(figure: Any) -> None:
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FuncFormatter):  # the labels were given
                ticks = axis.get_majorticklocs()
                axis.set_ticks(ticks, [words(formatter(tick)) for tick in ticks])
    for text in figure.findobj(Text):
        if not text.get_text().startswith(MATH):
            text.set_text(words(text.get_text()))
