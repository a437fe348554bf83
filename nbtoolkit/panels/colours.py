"""The colours of a field and the bar that explains them."""

from collections.abc import Sequence
from typing import Any

from bokeh.models import BasicTicker, ColorBar, FixedTicker, LinearColorMapper, LogColorMapper, LogTicker

from nbtoolkit.panels.look import FIELD, FONT, INK, SIZE

MOST = 6  # levels written beside a bar


def colours(scale: str, ends: tuple[float, float], palette: str | Sequence[str] = FIELD) -> Any:
    """From values to colours; NaN is transparent.

    Args:
        scale: of the colours.
        ends: the values of the first and the last colour.
        palette: of Bokeh, or its colours.
    """
    mapper_type = LogColorMapper if scale == "log" else LinearColorMapper
    low, high = ends
    return mapper_type(palette=palette, low=low, high=high, nan_color="rgba(0, 0, 0, 0)", name="colours")


def bar(mapper: Any, scale: str, units: str, levels: Sequence[float] | None = None) -> ColorBar:
    """The bar beside a field, titled with its units.

    Args:
        mapper: what `colours` gives.
        scale: of the colours.
        units: of the values.
        levels: of the isolines, to be written instead of round numbers; of many every second, third ...
    """
    made = ColorBar(
        color_mapper=mapper, width=8, padding=4, label_standoff=4, bar_line_color=None, major_tick_line_color=None,
        ticker=LogTicker(desired_num_ticks=4) if scale == "log" else BasicTicker(desired_num_ticks=4),
        title=units, title_text_font=FONT, title_text_font_size=SIZE, title_text_font_style="normal", title_standoff=4,
        title_text_color=INK, major_label_text_color=INK, major_label_text_font=FONT, major_label_text_font_size=SIZE,
        background_fill_color=None, border_line_color=None, name="bar",
    )  # fmt: skip
    if levels is not None:
        ticks = list(levels)[:: max(1, -(-len(levels) // MOST))]
        made.ticker = FixedTicker(ticks=ticks, name="bar_ticks")
        made.major_label_overrides = {tick: written(tick) for tick in ticks}
    return made


def written(level: float) -> str:
    """A level as short as it can be."""
    plain = level == 0 or 1e-3 <= abs(level) < 1e5
    text = f"{level:.12g}" if plain else f"{level:.12e}"
    if not plain:
        digits, power = text.split("e")
        text = f"{float(digits):.12g}e{int(power)}"
    return text.replace("-", "\N{MINUS SIGN}")
