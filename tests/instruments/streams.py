"""Small streams of tasks, with the episodes set by hand."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbtoolkit.instruments import Tasks, TasksAt
from nbtoolkit.numerics.tasks import Episode


def sign_tasks() -> dict[str, tuple[Tensor, Tensor]]:
    """Which of two inputs is the larger; in the second task which is the smaller; a third with ten examples."""
    torch.manual_seed(0)
    x = torch.randn(40, 2, dtype=torch.float64)
    larger = (x[:, 1] > x[:, 0]).long()
    return {"larger": (x, larger), "smaller": (x, 1 - larger), "few": (x[:10], larger[:10])}


def identity(*, flipped: bool = False) -> nn.Linear:
    """Right on every example of "larger", wrong on every one of "smaller"; flipped the other way round."""
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.eye(2).flip(0) if flipped else torch.eye(2))
    return model


def tasks_at(model: nn.Module, *visits: tuple[str, int, int | None], **settings: Any) -> TasksAt:
    """With these episodes: label, begin, end."""
    tasks = TasksAt(model, Tasks(sign_tasks(), **settings), F.cross_entropy)
    tasks.episodes[:] = [Episode(label, label.split(" (")[0], begin, end) for label, begin, end in visits]
    return tasks


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: param.detach() for name, param in model.named_parameters()}
