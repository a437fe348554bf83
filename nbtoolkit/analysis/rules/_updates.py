"""Updates that are far larger or smaller, beside the weights, than is usual."""

from collections.abc import Iterator

import numpy as np

from nbtoolkit.analysis.layers import listed, norms_of, places_of, thinned
from nbtoolkit.analysis.recorded import Recorded
from nbtoolkit.analysis.robust import median, since
from nbtoolkit.analysis.rule import Sign, rule
from nbtoolkit.analysis.rules._rates import warms_up

LARGE, SMALL = 0.1, 1e-6
LEAST, SEEN = 10, 64  # rows that the last stretch has at least, and of which it is read at most
MOSTLY = 0.9  # of these rows
LEARNED = 0.5  # of the loss at the start


@rule(
    "update ratio",
    severity="warn",
    needs=(("update_ratio",),),
    reference="You et al. (2017), arXiv:1708.03888, section 4; Karpathy, CS231n notes, Learning (about 1e-3)",
    advice="Change the learning rate (of these layers) until the ratio comes near 1e-3.",
)
def updates(data: Recorded) -> Iterator[Sign]:
    """The update of a layer is above a tenth of its weights, or below a millionth while little has been learned.

    About 1e-3 is usual. Norms of the parameters of a module taken together, in nine tenths of the last rows: a tenth of
    all, 10 at least. Little has been learned while the loss is above half of its start, which makes a note; a learning
    rate that is still rising explains small updates.
    """
    group = data.groups["update_ratio"]
    update, ratio = (group.rows(name, "param") for name in ("update_norm", "ratio"))
    count = len(group.steps)
    length = max(LEAST, count // 10)
    if update is None or ratio is None or count < 2 * length:
        return
    layers = places_of(group.labels["param"])
    names, last = list(layers), thinned(count - length, count, SEEN)
    by_layer = _ratios(update[last], ratio[last], layers)
    everywhere = thinned(0, count, 4 * SEEN)
    steps, usual = group.steps[everywhere], median(by_layer)
    known = np.maximum((~np.isnan(by_layer)).sum(axis=0), LEAST // 2)
    for word, line, sign in (("large", LARGE, 1), ("small", SMALL, -1)):
        outside = np.flatnonzero((sign * by_layer > sign * line).sum(axis=0) >= MOSTLY * known)
        if not len(outside):
            continue
        worst = {"": layers[names[outside[np.argmax(sign * usual[outside])]]]}
        began = since(sign * _ratios(update[everywhere], ratio[everywhere], worst)[:, 0] > sign * line)
        first = steps[min(began, len(steps) - 1)]
        if word == "small" and (_has_learned_much(data) or warms_up(data, first)):
            continue
        yield Sign(
            first, f"updates are unusually {word} beside the weights",
            f"median update over weights of {listed(names, outside, usual)}, in the last {length} measurements",
            f"line {line:g}, about 1e-3 is usual", "update_ratio", "" if word == "large" else "note",
        )  # fmt: skip


def _ratios(update: np.ndarray, ratio: np.ndarray, layers: dict[str, list[int]]) -> np.ndarray:
    """Norm of the update of a layer over that of its weights; NaN where the latter is not known."""
    known = np.isfinite(ratio) & (ratio > 0)
    weight = norms_of(np.where(known, update / np.where(known, ratio, 1.0), np.nan), layers.values())
    return norms_of(update, layers.values()) / np.where(weight > 0, weight, np.nan)


def _has_learned_much(data: Recorded) -> bool:
    _, loss = data.task_loss
    return not (len(loss) and float(np.median(loss[-20:])) > LEARNED * float(np.median(loss[:5])) > 0)
