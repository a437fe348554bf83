"""What Python draws of planes and lines, written down so that the browser is held to the same numbers.

Written anew by ``python -m tests.panels.golden``.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from nbtoolkit.panels import isolines, landscape, profile, relief
from nbtoolkit.panels.plane import complete, frame, infinite, plane, raster
from tests.panels.landscapes import loss_at
from tests.panels.slices import lines, sliced

FILE = Path(__file__).parent / "golden_planes.json"
LEVELS = [
    ((0.08, 4.2), "log"), ((0.8, 4.2), "log"), ((1e-3, 1e12), "log"), ((1e-30, 1e30), "log"), ((-0.3, 0.77), "linear"),
    ((0, 0.01), "linear"), ((2, 2), "linear"), ((1, 1e4), "linear"),
]  # fmt: skip
VIEWS = [(-35.0, 32.0), (120.0, 10.0), (200.0, 90.0)]
POINTS = [(0.0, 0.0), (0.3, -0.7), (1.0, 1.0), (-1.0, 0.5), (1.2, 0.0)]


def shuffled(points: int = 7, seed: int = 0) -> tuple[list[float], list[float], np.ndarray]:
    """Labels out of order, more to the right than upwards, and values ``(alpha, beta)``."""
    rng = np.random.default_rng(seed)
    alpha, beta = rng.permutation(np.linspace(-1, 1, points)), rng.permutation(np.linspace(-1, 1, points - 2))
    return alpha.tolist(), beta.tolist(), loss_at(alpha[:, None], beta[None])


def rows() -> dict[str, tuple[list[float], list[float], np.ndarray]]:
    """Planes of every kind: out of order, with holes, infinite, coarser within finer, half refined."""
    alpha, beta, values = shuffled()
    holes = values.copy()
    holes[2, 3], holes[4, 1], holes[1, 2] = np.inf, np.nan, -np.inf
    labels = np.linspace(-1, 1, 13)
    fine = loss_at(labels[:, None], labels[None])
    coarse = np.full_like(fine, np.nan)
    coarse[::2, ::2] = fine[::2, ::2]
    half = coarse.copy()
    half[:5] = fine[:5]
    half[8, 8] = half[6, 2] = half[3, 7] = np.nan
    both = labels.tolist()
    return {
        "shuffled": (alpha, beta, values), "holes": (alpha, beta, holes), "coarse": (both, both, coarse),
        "half": (both, both, half), "negative": (alpha, beta, values - 1), "nothing": (both, both, coarse * np.nan),
    }  # fmt: skip


def drawn_of(alpha: list[float], beta: list[float], values: np.ndarray, scale: str) -> dict[str, Any]:
    """All that is drawn of one plane."""
    shown = plane(sliced(alpha, beta, values)["loss_slice"].isel(step=-1))
    labels = np.array(alpha), np.array(beta)
    x, y = frame(shown.x, labels[0]), frame(shown.y, labels[1])
    finite = values[np.isfinite(values) & ((values > 0) | (scale == "linear"))]
    ends = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    whole = complete(shown)
    lying = relief.on_surface(whole, np.array(POINTS), scale) if whole.values.size else np.full(len(POINTS), np.nan)
    views = [relief.View(*angles) for angles in VIEWS]
    return {
        "scale": scale,
        "x": x,
        "y": y,
        "ends": ends,
        "image": raster(shown, *labels),
        "infinite": infinite(shown, x, y) if shown.values.size else {},
        "isolines": isolines.isolines(whole, ends, scale),
        "centre": landscape.centre(shown),
        "on_surface": lying,
        "quads": [relief.quads(whole, ends, scale, view) for view in views],
        "box": [relief.box(whole, view) for view in views],
    }


def golden() -> dict[str, Any]:
    """The content of the file."""
    planes = []
    for name, (alpha, beta, values) in rows().items():
        scale = "linear" if name in ("negative", "holes") else "log"
        told = drawn_of(alpha, beta, values, scale)
        planes.append({"name": name, "alpha": alpha, "beta": beta, "values": values, "drawn": told})
    profiles = []
    for ds in lines():
        x, y = profile.line(ds, "loss", 0)
        chord = profile.chord(ds, x, y)
        told = {"x": x, "y": y, "chord": chord, "barrier": profile.barrier(x, y, chord)}
        profiles.append({"alpha": ds["alpha"].values, "values": ds["loss"].values[0], "drawn": told})
    levels = [
        {"ends": ends, "scale": scale, "levels": isolines.levels(ends[0], ends[1], scale)} for ends, scale in LEVELS
    ]
    return plain({"planes": planes, "profiles": profiles, "levels": levels, "views": VIEWS, "points": POINTS})


def plain(value: Any) -> Any:
    """As JSON has it; NaN is null, the infinite are words."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return None if math.isnan(value) else float(value) if math.isfinite(value) else f"{value}"
    return float(value) if isinstance(value, np.integer) else value


if __name__ == "__main__":
    FILE.write_text(json.dumps(golden()) + "\n")
