"""Matplotlib figures apart from the user's: no pyplot, no settings changed, words drawn as they are."""

import io
import warnings
from typing import Any

from nbtoolkit.panels.look import INK

LETTERS = 60  # of any words in a picture
PAPER, WORDS = "white", "black"
TICKS = 30  # more with words than an axis ever has


def blank(size: tuple[float, float], dpi: float) -> Any:
    """An empty white figure, ``size`` in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=size, dpi=dpi, layout="constrained", facecolor=PAPER, edgecolor=PAPER, frameon=True)


def as_bytes(figure: Any, suffix: str, dpi: float) -> bytes:
    """The figure as a PNG or an SVG."""
    _coloured(figure)
    _literal(figure)
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # it is too small for all words
        if suffix == "svg":
            from matplotlib.backends.backend_svg import FigureCanvasSVG

            FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None})
        else:
            from matplotlib.backends.backend_agg import FigureCanvasAgg

            figure.set_dpi(dpi)
            FigureCanvasAgg(figure).print_png(out)
    return out.getvalue()


def plain(axes: Any) -> None:
    """Make axes as they are on paper, whatever style the user has, before anything is drawn on them."""
    axes.set_facecolor(PAPER)
    axes.set_axisbelow("line")
    axes.grid(False, which="both")


def words(text: str) -> str:
    """Words as they are drawn: nothing that cannot be seen, no more than have room."""
    seen = "".join(letter if letter.isprintable() else " " for letter in text)
    return seen if len(seen) <= LETTERS else f"{seen[: LETTERS - 1]}…"


def _coloured(figure: Any) -> None:
    """Give words a colour of their own where they would have that of the user's style."""
    for axes in figure.axes:
        axes.tick_params(colors=INK, which="both")
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_color(WORDS)
            axis.offsetText.set_color(INK)
        for text in axes.get_legend().get_texts() if axes.get_legend() else ():
            text.set_color(WORDS)


def _literal(figure: Any) -> None:
    """Draw words as they are, and as formulas only the numbers that matplotlib writes at its own ticks."""
    import matplotlib as mpl
    from matplotlib.text import Text
    from matplotlib.ticker import FuncFormatter

    of_ticks = set()
    unusual = mpl.rcParams["text.usetex"] or not mpl.rcParams["text.parse_math"]
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            given = isinstance(formatter, FuncFormatter)
            if given:
                places = axis.get_majorticklocs()
                axis.set_ticks(places, [words(formatter(place)) for place in places])
            # Ticks that are made later have the user's settings.
            count = TICKS if unusual and not given else None
            ticks = [*axis.get_major_ticks(count), *axis.get_minor_ticks(count)]
            numbers = [axis.offsetText, *(label for tick in ticks for label in (tick.label1, tick.label2))]
            for text in numbers:
                text.set_usetex(False)
                text.set_parse_math(not given)
            of_ticks.update(numbers)
    for text in figure.findobj(Text):
        if text not in of_ticks:
            text.set_usetex(False)
            text.set_parse_math(False)
            text.set_text(words(text.get_text()))
