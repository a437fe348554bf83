"""Whether the gradients of tasks, or of the terms of a loss, pull against each other."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nbtoolkit.instruments._base import Unknown, Var, instrument
from nbtoolkit.instruments._probe import gradient, leaves
from nbtoolkit.numerics.class_error import wide
from nbtoolkit.numerics.conflict import Relations, relations, vectors
from nbtoolkit.numerics.flat import Flat
from nbtoolkit.numerics.given import is_whole, shown
from nbtoolkit.numerics.products import trainable
from nbtoolkit.numerics.tasks_at import TasksAt

NO_PAIR = Unknown("there are no two gradients that are not zero")
DEPENDENT = Unknown("the gradients are linearly dependent: no condition number bounds them")
NO_BOUNDARY = Unknown("no task is being trained, as far as is known")
NO_EARLIER = Unknown("no other task was trained before")
ZERO = Unknown("one of the two gradients is zero")
REFERENCE = (
    "conflict: Liu et al. (2025), ConFIG, arXiv:2408.11104; condition number: Senushkin et al. (2023), "
    "Independent component alignment, arXiv:2305.19000"
)


@instrument(
    outputs={
        "cosine": Var(("task_evaluated", "task_other"), "1", "cosine between gradients of tasks"),
        "gradient_norm": Var(("task_evaluated",), "loss/param", "gradient norm by task", scale="log"),
        "first_order_change": Var(("task_evaluated",), "loss", "first-order change of loss by task"),
        "conflict": Var((), "1", "share of task pairs in conflict"),
        "condition": Var((), "1", "condition number, task gradients", scale="log"),
        "stability": Var((), "loss/param", "gradient norm of the earlier tasks", scale="log"),
        "plasticity": Var((), "loss/param", "gradient norm of the present task", scale="log"),
        "opposition": Var((), "1", "cosine of stability and plasticity", line=0.0),
    },
    cost=lambda settings: 3.0,
    every=20,
    reference=f"{REFERENCE}; stability and plasticity: De Lange et al. (2023), arXiv:2205.13452",
)
def gradient_conflict(
    tasks: TasksAt, params: Mapping[str, Tensor], updates: Mapping[str, Tensor | None], /, *, examples: int = 200
) -> dict[str, Any]:
    """How the gradients g_j of the mean losses of tasks lie to each other and to the step made.

    g_j is of ``examples`` held-out examples of task j at the parameters before the step, in eval mode, among the
    outputs that the scenario lets compete. ``cosine`` of g_i and g_j; ``conflict`` is the share of pairs with a cosine
    below 0; ``condition`` = sigma_max / sigma_min of the matrix with the columns g_j as they are, 1 for gradients of
    one length at right angles. ``first_order_change`` = g_j . u with the update u of this step: how much the step
    changes the loss of task j, to first order.

    The split of De Lange et al.: ``stability`` = |mean of g_j over the other tasks trained before|, ``plasticity`` =
    |g_k| of the task k being trained, ``opposition`` = their cosine. Here both are of held-out data, whatever the
    method puts into the gradient of its step; where opposition is below 0, learning the task costs the earlier ones.
    """
    if not is_whole(examples, 1):
        raise ValueError(f"examples={shown(examples)}: expected a whole number of 1 or more")
    losses = [tasks.loss_at(name, int(examples)) for name in tasks.names]
    at = leaves(losses[0], params)
    gradients = [gradient(loss, at)[1] for loss in losses]
    trained = trainable(at)
    moved = [updates.get(name) for name in trained]
    update = Flat(trained).join(
        [torch.zeros_like(p) if u is None else u for u, p in zip(moved, trained.values(), strict=True)]
    )
    found = relations(gradients)
    return {
        **_relations(found),
        "first_order_change": [float(torch.dot(wide(g), wide(update))) for g in gradients],
        **_split(tasks, gradients),
    }


@instrument(
    outputs={
        "cosine": Var(("term", "term_other"), "1", "cosine between gradients of terms"),
        "gradient_norm": Var(("term",), "loss/param", "gradient norm by term of the loss", scale="log"),
        "conflict": Var((), "1", "share of term pairs in conflict"),
        "condition": Var((), "1", "condition number, term gradients", scale="log"),
    },
    every=20,
    reference=REFERENCE,
)
def term_conflict(term_grads: Mapping[str, Mapping[str, Tensor | None] | None], /) -> dict[str, Any]:
    """How the gradients g_i of the named terms of the loss lie to each other.

    ``cosine`` of g_i and g_j; ``conflict`` is the share of pairs with a cosine below 0; ``condition`` = sigma_max /
    sigma_min of the matrix with the columns g_i as they are, 1 for gradients of one length at right angles. A parameter
    that a term does not depend on counts as zero. NaN for terms that were not named in this step.
    """
    named = {term: tree for term, tree in term_grads.items() if tree is not None}
    found = _relations(relations(vectors(list(named.values()))))
    places = torch.tensor([place for place, term in enumerate(term_grads) if term in named])
    cosine = torch.full((len(term_grads), len(term_grads)), torch.nan, dtype=torch.float64)
    cosine[places[:, None], places] = found["cosine"]
    norms = dict(zip(named, found["gradient_norm"], strict=True))
    return {**found, "cosine": cosine, "gradient_norm": [norms.get(term) for term in term_grads]}


def _relations(found: Relations) -> dict[str, Any]:
    return {
        "cosine": found.cosine,
        "gradient_norm": found.norms.tolist(),
        "conflict": NO_PAIR if math.isnan(found.conflict) else found.conflict,
        "condition": DEPENDENT if math.isinf(found.condition) else found.condition,
    }


def _split(tasks: TasksAt, gradients: list[Tensor]) -> dict[str, Any]:
    """Gradient of the earlier tasks against that of the present one."""
    if tasks.now is None:
        return dict.fromkeys(("stability", "plasticity", "opposition"), NO_BOUNDARY)
    by_name = dict(zip(tasks.names, gradients, strict=True))
    present = by_name[tasks.now.task]
    earlier = [by_name[name] for name in tasks.trained if name != tasks.now.task]
    if not earlier:
        return {"stability": NO_EARLIER, "plasticity": float(relations([present]).norms[0]), "opposition": NO_EARLIER}
    both = relations([torch.stack(earlier).mean(0), present])
    stability, plasticity = both.norms.tolist()
    cosine = float(both.cosine[0, 1])
    return {"stability": stability, "plasticity": plasticity, "opposition": ZERO if math.isnan(cosine) else cosine}
