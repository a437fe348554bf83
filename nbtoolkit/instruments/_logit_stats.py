"""How large the logits of a classifier are, and by how much the right one leads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.numerics import logits
from nbtoolkit.numerics.given import is_finite, shown
from nbtoolkit.numerics.loss_at import LossAt
from nbtoolkit.numerics.statistics import with_statistics


@instrument(
    outputs={
        "largest": Var((), "logit", "largest logit (absolute value)"),
        "mean": Var((), "logit", "mean logit"),
        "spread": Var((), "logit", "standard deviation of the logits"),
        "log_partition": Var((), "logit", "mean log Z of the logits"),
        "margin": Var(("quantile",), "logit", "margin of the right class", line=0.0),
        "confidence": Var((), "1", "mean largest probability"),
        "positive_margin": Var((), "1", "share of positive margins"),
    },
    cost=lambda settings: 1,
    every=10,
    labels={"quantile": lambda s: _labels(s["quantiles"])},
    reference=(
        "Wortsman et al. (2023), arXiv:2309.14322, section 3.1 (logits and log Z); "
        "Bartlett, Foster & Telgarsky (2017), arXiv:1706.08498 (margins)"
    ),
)
def logit_stats(
    loss_at: LossAt, params: Mapping[str, Tensor], /, *, quantiles: Sequence[float] = (0.01, 0.1, 0.5, 0.9, 0.99)
) -> dict[str, Any]:
    """Statistics of the outputs z of a classifier on the probe, in eval mode.

    ``largest`` = max |z|, ``mean`` and ``spread`` over all of them; ``log_partition`` = mean of log Z with Z =
    sum_k exp(z_k); ``margin``: quantiles of m = z_y - max_{k != y} z_k, y the true class; ``confidence``: mean of
    max_k exp(z_k) / Z; ``positive_margin``: the share with m > 0, which is the accuracy if ties count as wrong. Adding
    a constant to all logits shifts ``mean`` and ``log_partition`` by it, and neither margins nor confidence.

    Predictions whose target is negative do not count. Where the targets are no classes, only the first three are known.
    """
    shares = _labels(quantiles)
    if not shares:
        raise ValueError(f"quantiles={shown(quantiles)}: expected different numbers from 0 to 1")
    frozen = with_statistics(loss_at, "frozen")
    size, sides = logits.Size(), logits.Sides()
    unknown = ""
    with torch.no_grad():
        for _, batch in frozen.weighted():
            outputs, targets = frozen.outputs(batch, params), frozen.targets(batch, params)
            scores = logits.scores(outputs, targets)
            if isinstance(scores, str):
                unknown = scores
                size.add(outputs)
            else:
                size.add(scores.outputs)
                sides.add(scores)
    found: dict[str, Any] = {"largest": size.largest, "mean": size.mean, "spread": size.spread}
    if unknown or not sides:
        reason = Unknown(unknown or "no target counts")
        return found | dict.fromkeys(("log_partition", "margin", "confidence", "positive_margin"), reason)
    return found | {
        "log_partition": sides.log_partition(),
        "margin": sides.quantiles(shares),
        "confidence": sides.confidence(),
        "positive_margin": sides.positive(),
    }


def _labels(quantiles: Any) -> list[float]:
    """Shares as numbers; empty where they are none, and the measurement says what is wrong."""
    given = list(quantiles) if isinstance(quantiles, Iterable) else []
    valid = all(is_finite(share) and 0 <= share <= 1 for share in given) and len(set(given)) == len(given)
    return [float(share) for share in given] if valid else []
