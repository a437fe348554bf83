"""The axis of eigenvalues: asinh(eigenvalue / scale), labelled with the eigenvalues themselves."""

import math

import numpy as np

FEW = 4  # labels that an axis should have at least


def ticks(low: float, high: float, scale: float) -> dict[float, str]:
    """Places on the asinh axis between two of its points, and the eigenvalues written there.

    Powers of ten beyond the scale and zero; where these are few, also twice and five times them; where these are
    few too, round numbers at equal distances.
    """
    first, last = scale * math.sinh(low), scale * math.sinh(high)
    for factors in ((1,), (1, 2, 5)):
        found = [value for value in _powers(factors, first, last, scale) if first <= value <= last]
        if len(found) >= FEW:
            break
    else:
        found = _even(first, last)
    return {math.asinh(value / scale): label(value) for value in found}


def label(value: float) -> str:
    """An eigenvalue as written on an axis."""
    plain = value == 0 or 1e-3 <= abs(value) < 1e5
    text = f"{value:.6g}" if plain else f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return text.replace("-", "\N{MINUS SIGN}")


def _powers(factors: tuple[int, ...], first: float, last: float, scale: float) -> list[float]:
    largest = max(abs(first), abs(last))
    powers = range(math.ceil(math.log10(scale) - 1e-9), math.floor(math.log10(largest) + 1e-9) + 1)
    sizes = [float(f"{factor}e{power}") for power in powers for factor in factors]
    return [*(-size for size in reversed(sizes)), 0.0, *sizes]


def _even(first: float, last: float) -> list[float]:
    rough = (last - first) / FEW
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * max(factor for factor in (1, 2, 5) if factor * power <= rough * (1 + 1e-9))
    return [float(round(place * step, 12)) for place in np.arange(math.ceil(first / step), math.floor(last / step) + 1)]
