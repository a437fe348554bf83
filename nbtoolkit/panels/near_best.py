"""The values near the best of a sweep, whose range a picture shows: a diverged cell does not flatten the others."""

from typing import Any

import numpy as np

from nbtoolkit.panels.bands import reach

FAR_OUT = 3.0  # interquartile ranges beyond the quartile: Tukey (1977), Exploratory Data Analysis, section 2D
DECADE = np.log(10.0)
RISE = 1000.0  # times its first value


def near_best(
    values: Any, *, apart: float, largest: bool = False, scale: str | None = None
) -> tuple[np.ndarray, str]:  # fmt: skip
    """The finite values but for those far out on the bad side, and the scale on which they are drawn.

    Far out is what lies more than three interquartile ranges beyond the quartile; on a logarithmic scale of the logs,
    and also what lies three times as far above the median as the best lies below it, as the quartile itself may have
    diverged. Nothing is far out within ten times the median there; on a linear scale, of values that are never
    negative, nothing within five times the median, or, where large is good, down to 0.

    Args:
        values: of any shape.
        apart: positive values so many times apart are drawn on a logarithmic scale.
        largest: whether large values are good; the scale is linear then.
        scale: ``"linear"`` or ``"log"``; by default as the values are that are left.
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    if scale is not None:
        return _within(known, scale, largest), scale
    kept = _within(known, "linear", largest)
    if largest or not _spans(kept, apart):
        return kept, "linear"
    kept = _within(known, "log", largest)
    return kept, "log" if _spans(kept, apart) else "linear"


def near_best_lines(
    lines: Any, *, apart: float, largest: bool = False, scale: str | None = None
) -> tuple[tuple[float, float] | None, str]:
    """The values between which lines over steps lie that have not diverged, and the scale on which they are drawn.

    A line has diverged where its worst value is far out among the worst of all lines (`near_best`), or where it rises
    to a thousand times its first value and all that the others reach. What it reaches is within nonetheless where the
    axis becomes no more than three times as long for it (`bands.reach`).

    Args:
        lines: ``(lines, steps)``, NaN where there is nothing.
        apart: positive values so many times apart are drawn on a logarithmic scale.
        largest: whether large values are good; the worst of a line is then its smallest.
        scale: ``"linear"`` or ``"log"``; by default as the lines are that have not diverged.

    Returns:
        None in place of the values where there are none.
    """
    every = [line[np.isfinite(line) & ((line > 0) | (scale != "log"))] for line in np.asarray(lines, float)]
    every = [line for line in every if line.size]
    if not every:
        return None, scale or "linear"
    worst = np.array([line.min() if largest else line.max() for line in every])
    good = np.isin(worst, near_best(worst, apart=apart, largest=largest)[0])
    first = np.array([line[0] for line in every])
    calm = good & ~((first > 0) & (worst > RISE * first))
    if calm.any():
        good &= calm | (worst <= RISE * worst[calm].max())
    inside = np.concatenate([line for line, one in zip(every, good, strict=True) if one])
    scale = scale or ("log" if _spans(inside, apart) else "linear")
    others = sorted(end for line, one in zip(every, good, strict=True) if not one for end in (line.min(), line.max()))
    others = [end for end in (others[::-1] if largest else others) if end > 0 or scale != "log"]
    ends = float(inside.min()), float(inside.max())
    low, high = reach(ends, others, scale)
    return (min(low, ends[0]), max(high, ends[1])), scale  # a logarithm and back may lose the last digit


def beyond(values: Any, ends: tuple[float, float]) -> list[str]:
    """In words how many of the finite values lie above and below the ends of what is shown; nothing for none."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    counts = {"above": int((known > ends[1]).sum()), "below": int((known < ends[0]).sum())}
    return [f"{count} {word}" for word, count in counts.items() if count]


def _within(known: np.ndarray, scale: str, largest: bool) -> np.ndarray:
    known = known[known > 0] if scale == "log" else known
    if not known.size:
        return known
    height = (np.log(known) if scale == "log" else known) * (-1 if largest else 1)
    first, median, third = np.quantile(height, [0.25, 0.5, 0.75])
    fence = third + FAR_OUT * (third - first)
    if scale == "log":
        fence = max(min(fence, median + FAR_OUT * (median - height.min())), median + DECADE)
    elif known.min() >= 0:
        fence = max(fence, 0.0 if largest else 5 * median)
    return known[(height <= fence) | (first == third and scale != "log")]


def _spans(known: np.ndarray, apart: float) -> bool:
    return bool(known.size and known.min() > 0 and known.max() >= apart * known.min())
